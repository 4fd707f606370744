//! A network as a file: safetensors, readable by PyTorch, JAX and others.

use super::Lstm;
use super::network::{LAYOUT, LEVELS, WEIGHTS, range};
use super::windows::Shape;
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use std::collections::BTreeMap;

/// What files of this version are called.
const FORMAT: &str = "slacktide/lstm/1";
/// The entry of the metadata that holds what is no tensor.
const FACTS: &str = "slacktide";
/// Most members a file may hold.
const MEMBERS_MAX: usize = 64;

/// Why bytes are no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a network of slacktide: {reason}")]
pub struct FileError {
    /// What is wrong.
    pub reason: String,
}

fn wrong(reason: impl Into<String>) -> FileError {
    FileError { reason: reason.into() }
}

impl Lstm {
    /// The network as a safetensors file. Matrices are stored by rows, [out, in], as PyTorch does.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
        for (member, weights) in self.members.iter().enumerate() {
            for (name, rows, columns) in LAYOUT {
                let group = &weights[range(name)];
                let by_row = (0..rows).flat_map(|r| (0..columns).map(move |c| group[c * rows + r]));
                let bytes = by_row.flat_map(f32::to_le_bytes).collect();
                tensors.push((format!("{member}.{name}"), vec![rows, columns], bytes));
            }
        }
        let views = tensors.iter().filter_map(|(name, shape, bytes)| {
            TensorView::new(Dtype::F32, shape.clone(), bytes).ok().map(|view| (name.as_str(), view))
        });
        let seasons: Vec<String> = self.shape.seasons.iter().map(usize::to_string).collect();
        let facts = [
            ("format", FORMAT.to_owned()),
            ("horizon", self.shape.horizon.to_string()),
            ("members", self.members.len().to_string()),
            ("levels", LEVELS.map(|l| l.to_string()).join(",")),
            ("rounds", self.rounds.to_string()),
            ("seasons", seasons.join(",")),
            ("seed", self.seed.to_string()),
            ("until", self.until.to_string()),
        ];
        // One entry: the library writes several in an order of chance, and the same network must give the same bytes.
        let facts: Vec<String> = facts.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        let facts = [(FACTS.to_owned(), facts.join(";"))].into();
        // Sizes and names are ours: there is nothing it could refuse.
        serialize(views, Some(facts)).unwrap_or_default()
    }

    /// Reads what [`Lstm::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`FileError`] naming the tensor or the entry that is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FileError> {
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| wrong(e.to_string()))?;
        let file = SafeTensors::deserialize(bytes).map_err(|e| wrong(e.to_string()))?;
        let written = header.metadata().as_ref().and_then(|m| m.get(FACTS)).map_or("", String::as_str);
        let facts: BTreeMap<&str, &str> = written.split(';').filter_map(|fact| fact.split_once('=')).collect();
        let fact = |name: &str| facts.get(name).copied().ok_or_else(|| wrong(format!("`{name}` is missing")));
        if fact("format")? != FORMAT {
            return Err(wrong(format!("its format is `{}`, this program reads `{FORMAT}`", fact("format")?)));
        }
        let count: usize = number("members", fact("members")?)?;
        if count == 0 || count > MEMBERS_MAX {
            return Err(wrong(format!("`members` is {count}, it must be 1 to {MEMBERS_MAX}")));
        }
        let members =
            (0..count).map(|member| read_weights(&file, &format!("{member}"))).collect::<Result<Vec<_>, _>>()?;
        let seasons: Result<Vec<usize>, FileError> =
            fact("seasons")?.split(',').filter(|s| !s.is_empty()).map(|s| number("seasons", s)).collect();
        let horizon: usize = number("horizon", fact("horizon")?)?;
        if horizon == 0 || horizon > 10_000 {
            return Err(wrong(format!("`horizon` is {horizon}, it must be 1 to 10000")));
        }
        let shape = Shape::new(&seasons?, horizon);
        let (until, seed) = (number("until", fact("until")?)?, number("seed", fact("seed")?)?);
        Ok(Self { members, shape, until, seed, rounds: number("rounds", fact("rounds")?)? })
    }
}

/// All groups of weights whose names begin with `prefix` and a dot.
pub(super) fn read_weights(file: &SafeTensors<'_>, prefix: &str) -> Result<Vec<f32>, FileError> {
    let mut weights = vec![0.0; WEIGHTS];
    for (group, rows, columns) in LAYOUT {
        let name = format!("{prefix}.{group}");
        let tensor = file.tensor(&name).map_err(|e| wrong(format!("`{name}`: {e}")))?;
        if tensor.shape() != [rows, columns] || tensor.dtype() != Dtype::F32 {
            return Err(wrong(format!("`{name}` is {:?}, it must be {rows} × {columns} of f32", tensor.shape())));
        }
        let group = &mut weights[range(group)];
        for (i, value) in tensor.data().chunks_exact(4).enumerate() {
            let value = f32::from_le_bytes([value[0], value[1], value[2], value[3]]);
            if !value.is_finite() {
                return Err(wrong(format!("`{name}` holds a number that is not finite")));
            }
            group[i % columns * rows + i / columns] = value;
        }
    }
    Ok(weights)
}

fn number<T: std::str::FromStr>(name: &str, text: &str) -> Result<T, FileError> {
    text.parse().map_err(|_| wrong(format!("`{name}` is `{text}`, it must be a whole number")))
}
