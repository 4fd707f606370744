//! Rollouts that were signed off are held against what was simulated; see [`crate::envelope`].

use super::Engine;
use crate::envelope::{Envelope, Guard};
use crate::ids::RolloutId;
use crate::journal::entry::Verdict;
use crate::rollout::{Cause, RolloutEvent, RolloutState};

impl Engine {
    /// From now on a rollout that can still begin is held against this.
    pub(super) fn sign_off(&mut self, rollout: RolloutId, envelope: Envelope) {
        let Some(run) = self.run_mut(rollout) else {
            self.ignore(format!("there is no rollout {rollout} to sign off"));
            return;
        };
        let state = run.state;
        let is_early = state.after(RolloutEvent::Approve).is_some() || state.after(RolloutEvent::Start).is_some();
        if is_early {
            run.guard = Some(Guard::new(rollout, envelope));
        } else {
            self.ignore(format!("a rollout that is {state} cannot be signed off any more"));
        }
    }

    /// A person goes on with a rollout whatever its guard has seen so far.
    pub(super) fn accept_divergence(&mut self, rollout: RolloutId) {
        let paused_for = |run: &&mut super::run::Run| run.cause == Some(Cause::Divergence);
        if let Some(guard) = self.run_mut(rollout).filter(paused_for).and_then(|run| run.guard.as_mut()) {
            guard.accept();
        }
    }

    /// Pauses rollouts that have left what was signed off. What is under way ends as it may: nothing says that it is bad.
    pub(super) fn watch_divergence(&mut self) {
        for position in 0..self.rollouts.len() {
            let run = &mut self.rollouts[position];
            let guard = run.guard.as_mut().filter(|_| run.state == RolloutState::Running);
            if let Some(departure) = guard.and_then(Guard::look) {
                let (id, figures) = (run.id, (departure.value, departure.bound));
                self.judge(id, Verdict::Bad, Cause::Divergence, figures, departure.to_string());
            }
        }
    }
}
