//! Exchanging the authority's key in two steps: first both are trusted, then, when nobody needs the old one any more, only the new one.

use super::{Authority, Generation, key_file};
use crate::trust::{TrustError, now_s};

/// How a rotation stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// The generations trusted now, oldest first; the last one signs.
    pub generations: Vec<Generation>,
    /// Certificates in force that an older generation signed.
    pub old_in_force: usize,
}

impl Authority {
    /// Makes the next generation: it signs from now on, and the one before it stays trusted until [`Authority::retire`].
    ///
    /// # Errors
    /// When a rotation is under way already, or the files cannot be written.
    pub fn rotate(&self) -> Result<Rotation, TrustError> {
        let mut held = self.hold()?;
        if held.state.generations.len() > 1 {
            return Err(TrustError::Rotation("a rotation is under way: finish it with `pki rotate --finish` first"));
        }
        let number = held.signing()?.number + 1;
        // A crash from here on leaves a key that nothing mentions; the next try writes over it.
        let generation = self.make_generation(number)?;
        held.state.generations.push(generation);
        held.publish()?;
        drop(held);
        self.rotation()
    }

    /// How many certificates hang on older generations.
    ///
    /// # Errors
    /// When the files cannot be read.
    pub fn rotation(&self) -> Result<Rotation, TrustError> {
        let held = self.hold()?;
        let (signing, now) = (held.signing()?.number, now_s());
        let entries = held.ledger.entries()?;
        let old_in_force = entries.iter().filter(|e| e.generation < signing && e.in_force(now)).count();
        Ok(Rotation { generations: held.state.generations.clone(), old_in_force })
    }

    /// Stops trusting all generations but the last. Whoever holds a certificate of theirs is shut out, so it refuses while there are
    /// such certificates in force, unless it is `forced`.
    ///
    /// # Errors
    /// When there is none to retire, when they are still needed, or when files cannot be written.
    pub fn retire(&self, forced: bool) -> Result<Rotation, TrustError> {
        let standing = self.rotation()?;
        if standing.generations.len() < 2 {
            return Err(TrustError::Rotation("there is no older authority to retire: `pki rotate` makes the next one"));
        }
        if standing.old_in_force > 0 && !forced {
            return Err(TrustError::StillInUse(standing.old_in_force));
        }
        let mut held = self.hold()?;
        let keep = held.state.generations.len().saturating_sub(1);
        let retired: Vec<Generation> = held.state.generations.drain(..keep).collect();
        held.publish()?;
        for generation in &retired {
            let path = key_file(held.folder(), generation.number);
            std::fs::remove_file(&path).map_err(TrustError::io("remove", &path))?;
        }
        held.ledger.forget_ended(now_s() - 400 * i64::from(super::DAY_S))?;
        drop(held);
        self.rotation()
    }
}
