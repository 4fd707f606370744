//! An OpenTelemetry SDK as it comes from its registry exports its system metrics through the real door into the engine's history.

use super::door::{Door, plan};
use super::ground::Ground;
use super::world::{START, journal};
use slacktide_engine::input::Input;
use slacktide_engine::journal::Entry;
use slacktide_engine::time::{Instant, Span};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const METRICS: [&str; 4] = ["cpu", "memory", "network", "disk"];
/// Where the Python with the SDK is, when it is not where `cargo xtask opentelemetry` puts it.
const PYTHON: &str = "SLACKTIDE_TEST_OPENTELEMETRY";

fn python() -> PathBuf {
    let usual = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/opentelemetry/bin/python");
    let python = std::env::var_os(PYTHON).map_or_else(usual, PathBuf::from);
    assert!(
        python.exists(),
        "{} is not there: run `cargo xtask opentelemetry`, which makes a Python environment with the OpenTelemetry SDK, or name \
         the python of such an environment in {PYTHON}",
        python.display()
    );
    python
}

/// The SDK's process; it goes with its standard input, and with this.
struct Exporter(Child);

impl Exporter {
    /// With nothing but the variables that every SDK reads.
    fn start(ground: &Ground, device: &str, door: &Door) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/controller/opentelemetry/export.py");
        let file = |name: &str| ground.path(device).join("identity").join(name);
        let mut command = Command::new(python());
        command
            .arg(script)
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("https://{}", door.address))
            .env("OTEL_EXPORTER_OTLP_CERTIFICATE", file("authorities.pem"))
            .env("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", file("certificate.pem"))
            .env("OTEL_EXPORTER_OTLP_CLIENT_KEY", file("key.pem"))
            .env("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
            .env("OTEL_METRIC_EXPORT_INTERVAL", "300")
            .env_remove("https_proxy")
            .env_remove("HTTPS_PROXY")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(ground.path("exporter.log")).unwrap());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// What the engine was told of the first device, a column a metric.
fn history(lines: &[slacktide_engine::journal::Line]) -> Vec<Vec<f32>> {
    let mut columns = vec![Vec::new(); METRICS.len()];
    for line in lines {
        let Entry::Input { input } = &line.entry else { continue };
        let Input::Telemetry(batch) = &**input else { continue };
        for (known, told) in columns.iter_mut().zip(&batch.columns) {
            known.extend(told.iter().copied().filter(|value| value.is_finite()));
        }
    }
    columns
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unmodified_sdk_exports_through_the_door_into_the_history() {
    let ground = Ground::new(1).await;
    let metrics = METRICS.map(str::to_owned).to_vec();
    let plan = super::world::Plan { metrics, tick: Span::from_secs(60), ..plan(&ground, 1) };
    let address = "127.0.0.1:0".parse().unwrap();
    let mut door = Door::open(&ground, &plan, address, Instant::from_secs(START)).await;
    // Two minutes a second: a tick for one or two exports.
    door.run_clock(120);
    let _exporter = Exporter::start(&ground, "d0", &door);
    let began = std::time::Instant::now();
    let status = loop {
        let status = door.world.status().await.devices.remove(0);
        // Only after a second export there is a rate to tell.
        if status.last_heard_ms.is_some() && door.world.counted("slacktide_messages_stored_total") >= 6 {
            break status;
        }
        let said = std::fs::read_to_string(ground.path("exporter.log")).unwrap();
        assert!(began.elapsed() < Duration::from_secs(40), "nothing came: {status:?}\n{said}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!((status.version.as_str(), status.state.as_str()), ("1.0", "idle"), "what the fleet file says it runs");
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let store = door.close().await;
    let [cpu, memory, network, disk] = history(&journal(&store)).try_into().unwrap();
    println!("cpu {cpu:?}\nmemory {memory:?}\nnetwork {network:?}\ndisk {disk:?}");
    // Whatever machine this is: it uses some of its memory, it is doing something, and no figure is beyond its range.
    for column in [&cpu, &memory, &network] {
        assert!(column.len() >= 2 && column.iter().all(|value| (0.0..=100.0).contains(value)), "{column:?}");
    }
    assert!(cpu.iter().any(|value| *value > 0.0), "{cpu:?}");
    assert!(memory.iter().all(|value| (0.1..99.9).contains(value)), "{memory:?}");
    assert!(disk.iter().all(|value| (0.0..=100.0).contains(value)), "{disk:?}");
    // A machine without disks of its own says nothing of them.
    assert_eq!(disk.is_empty(), std::fs::read_to_string("/proc/diskstats").unwrap_or_default().is_empty());
}
