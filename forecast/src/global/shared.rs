//! The global models in force, as drivers carry and journals record them.

use super::lstm::Lstm;
use super::ridge::Ridge;
use super::{Trained, TrainingSeries};
use crate::ModelKind;
use serde::{Deserialize, Serialize};

/// Seasons of the newest history that a first training leaves alone, so that it can be judged on them; given up where the history is
/// shorter than [`SEASONS_FOR_THAT`].
const SEASONS_LEFT: usize = 2;
const SEASONS_FOR_THAT: usize = 5;

/// Trained models by kind, and what training said where there is none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Shared {
    trained: Vec<(ModelKind, Trained)>,
    /// Why a model is missing, in words.
    pub notes: Vec<String>,
    /// Step up to which there was something to train on when this was made.
    seen: i64,
}

impl Shared {
    /// Trains the global ones among `kinds`, or trains on those in force `before`. Deterministic in its arguments.
    pub fn train(
        kinds: &[ModelKind],
        before: Option<&Self>,
        series: &[TrainingSeries<'_>],
        seasons: &[usize],
        horizon: usize,
        seed: u64,
    ) -> Self {
        let seen = series.iter().map(|s| s.first_step + s.values.len() as i64).max().unwrap_or(0);
        let season = seasons.first().copied().unwrap_or(1).max(1);
        let mut shared = Self { trained: Vec::new(), notes: Vec::new(), seen };
        for kind in kinds.iter().copied().filter(|k| k.is_global()) {
            let older = before.and_then(|b| b.get(kind));
            let cut = |s: &TrainingSeries<'_>| {
                let keep = older.is_none() && s.values.len() >= SEASONS_FOR_THAT * season;
                s.values.len() - if keep { SEASONS_LEFT * season } else { 0 }
            };
            let cut: Vec<TrainingSeries<'_>> =
                series.iter().map(|s| TrainingSeries { values: &s.values[..cut(s)], ..*s }).collect();
            match Trained::train(kind, older, &cut, seasons, horizon, seed) {
                Ok(trained) => shared.trained.push((kind, trained)),
                Err(reason) => shared.notes.push(format!("{kind}: {reason}")),
            }
        }
        shared
    }

    /// The trained model of a kind.
    pub fn get(&self, kind: ModelKind) -> Option<&Trained> {
        self.trained.iter().find(|(k, _)| *k == kind).map(|(_, trained)| trained)
    }

    /// Should there be another training at `step`, once a main season?
    pub const fn is_due(&self, step: i64, season: usize) -> bool {
        step - self.seen >= season as i64
    }
}

/// How a trained model is written down.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Written {
    /// Weights by lead.
    Ridge(Ridge),
    /// The bytes of a safetensors file, in hexadecimal.
    Lstm(String),
}

impl From<Trained> for Written {
    fn from(trained: Trained) -> Self {
        match trained {
            Trained::Ridge(ridge) => Self::Ridge(ridge),
            Trained::Lstm(lstm) => Self::Lstm(lstm.to_bytes().iter().map(|b| format!("{b:02x}")).collect()),
        }
    }
}

impl TryFrom<Written> for Trained {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Ridge(ridge) => Ok(Self::Ridge(ridge)),
            Written::Lstm(hex) => {
                let digit = |d: &[u8]| std::str::from_utf8(d).ok().and_then(|d| u8::from_str_radix(d, 16).ok());
                let bytes: Option<Vec<u8>> = hex.as_bytes().chunks(2).map(digit).collect();
                let bytes = bytes.ok_or("a network must be written in hexadecimal digits")?;
                Lstm::from_bytes(&bytes).map(|l| Self::Lstm(Box::new(l))).map_err(|e| e.to_string())
            }
        }
    }
}
