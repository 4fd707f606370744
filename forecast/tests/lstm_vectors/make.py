"""Makes `vectors.safetensors`: a network and a batch drawn by chance, and what other software computes from them.

    pip install jax==0.10.2 onnx==1.23.2 onnxruntime==1.32.0 safetensors==0.8.0 numpy==2.4.6
    python make.py

- `states`: last states of the encoder, by the LSTM operator of ONNX Runtime (whose gates come in the order input, output, forget, cell).
- `quantiles`, `loss`, `gradient.*`: the whole network written in JAX, and its automatic derivatives in double precision.

Both read the weights as PyTorch lays them out: `[out, in]` by rows, gates in the order input, forget, cell, output.
"""

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
from safetensors.numpy import save_file

jax.config.update("jax_enable_x64", True)

INPUTS, LAGS, HIDDEN, DECODER = 7, 11, 32, 32
LEAD_INPUTS = 7 + LAGS
LEVELS = np.array([0.025, 0.1, 0.5, 0.9, 0.975])
STEPS, WINDOWS, LEADS = 20, 5, 6

rng = np.random.default_rng(20)


def draw(*shape, scale=1.0):
    return rng.uniform(-scale, scale, shape).astype(np.float32)


weights = {
    "encoder.weight_ih": draw(4 * HIDDEN, INPUTS, scale=0.6),
    "encoder.weight_hh": draw(4 * HIDDEN, HIDDEN, scale=0.4),
    "encoder.bias": draw(4 * HIDDEN, 1, scale=0.5),
    "decoder.weight": draw(DECODER, HIDDEN + LEAD_INPUTS, scale=0.4),
    "decoder.bias": draw(DECODER, 1, scale=0.3),
    "head.weight": draw(5, DECODER, scale=0.5),
    "head.bias": draw(5, 1, scale=0.5),
    "head.mix": draw(1, LAGS, scale=0.3),
}
inputs = draw(STEPS, WINDOWS, INPUTS, scale=2.0)
leads = draw(WINDOWS, LEADS, LEAD_INPUTS, scale=2.0)
targets = draw(WINDOWS, LEADS, scale=3.0)


def onnx_states():
    def order(w):
        i, f, c, o = np.split(w, 4)
        return np.concatenate([i, o, f, c])[None]

    bias = np.concatenate([order(weights["encoder.bias"][:, 0]), np.zeros((1, 4 * HIDDEN), np.float32)], axis=1)
    made = [
        onnx.numpy_helper.from_array(order(weights["encoder.weight_ih"]), "w"),
        onnx.numpy_helper.from_array(order(weights["encoder.weight_hh"]), "r"),
        onnx.numpy_helper.from_array(bias, "b"),
    ]
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("LSTM", ["x", "w", "r", "b"], ["", "h"], hidden_size=HIDDEN)],
        "encoder",
        [value("x", onnx.TensorProto.FLOAT, [STEPS, WINDOWS, INPUTS])],
        [value("h", onnx.TensorProto.FLOAT, [1, WINDOWS, HIDDEN])],
        made,
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    model.ir_version = 9
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": inputs})[0][0]


def network(p):
    def step(carry, x):
        h, c = carry
        gates = x @ p["encoder.weight_ih"].T + h @ p["encoder.weight_hh"].T + p["encoder.bias"][:, 0]
        i, f, g, o = jnp.split(gates, 4, axis=1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

    start = (jnp.zeros((WINDOWS, HIDDEN)), jnp.zeros((WINDOWS, HIDDEN)))
    (h, _), _ = jax.lax.scan(step, start, jnp.asarray(inputs, jnp.float64))
    seen = jnp.concatenate([jnp.repeat(h[:, None], LEADS, axis=1), leads], axis=2)
    decoded = jnp.tanh(seen @ p["decoder.weight"].T + p["decoder.bias"][:, 0])
    raw = decoded @ p["head.weight"].T + p["head.bias"][:, 0]
    median = (leads[:, :, -LAGS:] * p["head.mix"][0]).sum(axis=2) + raw[:, :, 2]
    low, high = median - jax.nn.softplus(raw[:, :, 1]), median + jax.nn.softplus(raw[:, :, 3])
    lowest, highest = low - jax.nn.softplus(raw[:, :, 0]), high + jax.nn.softplus(raw[:, :, 4])
    return h, jnp.stack([lowest, low, median, high, highest], axis=2)


def loss(p):
    error = targets[:, :, None] - network(p)[1]
    return jnp.maximum(LEVELS * error, (LEVELS - 1) * error).mean()


double = {name: jnp.asarray(w, jnp.float64) for name, w in weights.items()}
states, (by_jax, quantiles) = onnx_states(), network(double)
assert np.abs(states - np.asarray(by_jax)).max() < 1e-5, "ONNX Runtime and JAX must agree"
value, gradient = jax.value_and_grad(loss)(double)

made = {f"weights.{name}": w for name, w in weights.items()}
made |= {f"gradient.{name}": np.asarray(g, np.float32) for name, g in gradient.items()}
made |= {"inputs": inputs, "leads": leads, "targets": targets, "states": states}
made |= {"quantiles": np.asarray(quantiles, np.float32), "loss": np.asarray([value], np.float32)}
save_file(made, "vectors.safetensors")
print("states", np.abs(states).max(), "loss", float(value))
