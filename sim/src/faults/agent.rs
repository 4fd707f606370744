//! Agents that restart in the middle of an install: when, for how long, and what they make of what they find.

use crate::device::draw;
use crate::rng::Stream;
use slacktide_engine::time::Span;
use slacktide_scenarios::faults::AgentRestarts;

/// What an agent makes of a half-finished install.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// Goes on where it was.
    Resumes,
    /// Begins the step anew.
    Anew,
    /// Takes the device back to what it ran, and says that it failed.
    GivesUp,
}

/// One restart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Restart {
    /// Position of the step in the course of the install.
    pub(crate) step: usize,
    /// Share of that step which has passed by then.
    pub(crate) share: f64,
    /// Until it is back.
    pub(crate) away: Span,
    pub(crate) then: Then,
}

impl Restart {
    /// Draws the restart of one install, if there is one: at any moment of it with the same chance.
    pub(crate) fn draw(agent: AgentRestarts, lengths: &[Span], stream: &mut Stream) -> Option<Self> {
        if !stream.happens(agent.percent) {
            return None;
        }
        let total: f64 = lengths.iter().map(|length| length.as_secs_f64()).sum();
        let mut at = stream.uniform() * total;
        let away = draw(agent.restart, stream);
        let mut pick = stream.uniform() * (agent.resumes + agent.anew + agent.gives_up);
        let mut then = Then::Resumes;
        for (share, choice) in
            [(agent.resumes, Then::Resumes), (agent.anew, Then::Anew), (agent.gives_up, Then::GivesUp)]
        {
            if share > 0.0 {
                then = choice;
                if pick < share {
                    break;
                }
            }
            pick -= share;
        }
        for (step, length) in lengths.iter().enumerate() {
            let length = length.as_secs_f64();
            if at < length {
                return Some(Self { step, share: at / length, away, then });
            }
            at -= length;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Purpose;
    use slacktide_scenarios::Duration;

    #[test]
    fn restarts_fall_on_steps_by_their_length_and_end_by_their_shares() {
        let restart = Duration { median: Span::from_secs(20), sigma: 0.0 };
        let agent = AgentRestarts { percent: 50.0, restart, resumes: 2.0, anew: 1.0, gives_up: 1.0 };
        let lengths = [Span::from_secs(300), Span::ZERO, Span::from_secs(100)];
        let drawn: Vec<Restart> =
            (0..4000).filter_map(|i| Restart::draw(agent, &lengths, &mut Stream::new(3, Purpose::Agent, i))).collect();
        let share =
            |test: &dyn Fn(&Restart) -> bool| drawn.iter().filter(|r| test(r)).count() as f64 / drawn.len() as f64;
        // Five standard deviations of a share of 2000 are 0.056 at most.
        assert!((drawn.len() as f64 / 4000.0 - 0.5).abs() < 0.04, "{}", drawn.len());
        assert!((share(&|r| r.step == 0) - 0.75).abs() < 0.05 && share(&|r| r.step == 1) == 0.0);
        assert!((share(&|r| r.then == Then::Resumes) - 0.5).abs() < 0.056);
        assert!((share(&|r| r.then == Then::GivesUp) - 0.25).abs() < 0.05);
        assert!(drawn.iter().all(|r| (0.0..1.0).contains(&r.share) && r.away == Span::from_secs(20)));
    }
}
