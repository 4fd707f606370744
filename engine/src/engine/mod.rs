//! The door: one input, then drain. Routes, owns the state, and leaves the deciding to its neighbours.

mod attempts;
mod believed;
mod budget;
mod capacity;
mod course;
mod dispatch;
mod divergence;
mod ledger;
mod places;
mod planning;
mod rate;
mod regression;
mod rollback;
mod run;
mod standing;
mod status;
mod watch;
mod waves;

use crate::fleet::Fleet;
use crate::forecasting::{Fit, FitRoom, Forecasting, SeriesKey};
use crate::ids::{DeviceIndex, RolloutId};
use crate::input::{DeviceFacts, Input, TelemetryBatch};
use crate::journal::Entry;
use crate::journal::entry::ForecastEntry;
use crate::output::{Command, CommandKind, Output, WakeReason};
use crate::policy::Policy;
use crate::rollout::RolloutState;
use crate::time::Instant;
use ledger::Ledger;
pub use places::{DevicePlace, Place};
use planning::Planning;
use run::Run;
use std::collections::VecDeque;

/// The deciding core. See the [crate] documentation for how to drive it.
#[derive(Debug, Clone)]
pub struct Engine {
    policy: Policy,
    now: Instant,
    fleet: Fleet,
    forecasting: Forecasting,
    rollouts: Vec<Run>,
    ledger: Ledger,
    planning: Planning,
    rate: rate::Rate,
    nowcast: crate::nowcast::Nowcast,
    outputs: VecDeque<Output>,
    record_inputs: bool,
    last_tick_slot: Option<i64>,
    /// Highest demand of every pool since it was last recorded, percent.
    pool_peaks_percent: Vec<f64>,
    #[cfg(feature = "planted-faults")]
    planted: Option<crate::planted::Fault>,
}

impl Engine {
    /// An engine without devices. `metrics` names the columns of all telemetry to come.
    pub fn new(policy: Policy, metrics: &[String]) -> Self {
        Self {
            fleet: Fleet::new(metrics, &policy),
            forecasting: Forecasting::new(&policy),
            nowcast: crate::nowcast::Nowcast::new(policy.plan.slot, policy.monitor.lookahead),
            policy,
            now: Instant::from_millis(i64::MIN),
            rollouts: Vec::new(),
            ledger: Ledger::default(),
            planning: Planning::default(),
            rate: rate::Rate::default(),
            outputs: VecDeque::new(),
            record_inputs: false,
            last_tick_slot: None,
            pool_peaks_percent: Vec::new(),
            #[cfg(feature = "planted-faults")]
            planted: None,
        }
    }

    /// Gives this engine a defect, for tests of the checks.
    #[cfg(feature = "planted-faults")]
    pub const fn plant(&mut self, fault: crate::planted::Fault) {
        self.planted = Some(fault);
    }

    #[cfg(feature = "planted-faults")]
    fn has(&self, fault: crate::planted::Fault) -> bool {
        self.planted == Some(fault)
    }

    /// This engine as it stands, under another policy from here on: what would come of it? What rests on the old one's slots, scores and
    /// forecasts must be the same in both.
    ///
    /// # Errors
    /// What differs.
    pub fn under(&self, policy: Policy) -> Result<Self, &'static str> {
        let (own, other) = (&self.policy, &policy);
        if own.plan.slot != other.plan.slot || own.plan.horizon != other.plan.horizon {
            return Err("plan.slot or plan.horizon");
        } else if own.scores != other.scores {
            return Err("[scores]");
        } else if own.forecast != other.forecast {
            return Err("[forecast]");
        } else if own.monitor.lookahead != other.monitor.lookahead {
            return Err("monitor.lookahead");
        }
        let mut engine = Self { policy, ..self.clone() };
        engine.replan("another policy took over");
        Ok(engine)
    }

    /// Record every input, for a full journal (otherwise only those nobody could make again).
    pub const fn record_inputs(&mut self, all: bool) {
        self.record_inputs = all;
    }

    /// The policy in force.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What is believed of the fleet.
    pub const fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// Where a rollout stands; `None` before it is created.
    pub fn rollout_state(&self, rollout: RolloutId) -> Option<RolloutState> {
        self.run(rollout).map(|run| run.state)
    }

    /// Every rollout there has been, in the order they were created, with its state.
    pub fn rollouts(&self) -> impl Iterator<Item = (RolloutId, RolloutState)> + '_ {
        self.rollouts.iter().map(|run| (run.id, run.state))
    }

    /// Why a rollout is paused, or was stopped.
    pub fn pause_cause(&self, rollout: RolloutId) -> Option<crate::rollout::Cause> {
        self.run(rollout).and_then(|run| run.cause)
    }

    fn run(&self, rollout: RolloutId) -> Option<&Run> {
        self.rollouts.get(rollout.index())
    }

    fn run_mut(&mut self, rollout: RolloutId) -> Option<&mut Run> {
        self.rollouts.get_mut(rollout.index())
    }

    /// Rollouts that are not over, in the order they were created.
    fn live(&self) -> Vec<RolloutId> {
        self.rollouts.iter().filter(|run| !run.state.is_end()).map(|run| run.id).collect()
    }

    /// Fits one key of a forecast request. Pure: may be called for many keys in parallel, each thread with room of its own.
    pub fn fit(&self, key: SeriesKey, room: &mut FitRoom) -> Fit {
        let mut fit = Fit::default();
        self.fit_into(key, room, &mut fit);
        fit
    }

    /// [`Self::fit`] in place of an answer that is not wanted any more.
    pub fn fit_into(&self, key: SeriesKey, room: &mut FitRoom, fit: &mut Fit) {
        self.forecasting.fit(key, (&self.fleet, &self.policy), self.window_slots(), room, fit);
    }

    /// Answers that are not wanted any more, to put the next in the place of: in a large fleet that is worth it.
    pub fn spent_fits(&mut self) -> Vec<Fit> {
        self.forecasting.spent()
    }

    /// Load that the forecast in force expects of a device in the slot of `at`, percent.
    pub fn load_point(&self, device: DeviceIndex, at: Instant) -> Option<f32> {
        self.forecasting.load_point(device, at)
    }

    /// Steps (of the policy's slot) that a forecast of a series reaches, and steps in a window of a load score.
    pub fn forecast_steps(&self) -> (usize, usize) {
        (self.forecasting.horizon(), self.window_slots())
    }

    /// Hands in one input. Never fails: what makes no sense is answered with [`Entry::Ignored`] and changes nothing. Time never
    /// goes back: an earlier `at` counts as the latest seen.
    pub fn handle_input(&mut self, at: Instant, input: Input) {
        self.now = self.now.max(at);
        if self.record_inputs || !input.is_bulk() {
            self.record(Entry::Input { input: Box::new(input.clone()) });
        }
        match input {
            Input::Enrolled { devices } => self.enroll(devices),
            Input::Removed { devices } => self.remove(&devices),
            Input::Telemetry(batch) => self.take_telemetry(&batch),
            Input::Forecasts(answers) => self.take_forecasts(answers),
            Input::Requests { devices } => self.take_requests(&devices),
            Input::Progress { attempt, state } => self.take_progress(attempt, state),
            Input::Outcome { command, result } => self.take_outcome(command, result),
            Input::Statement { device, version } => self.take_statement(device, version),
            Input::Operator(action) => self.obey(action),
            Input::Wake => {}
        }
        self.advance();
    }

    /// The next thing to say. [`Output::Wake`] ends a drain.
    pub fn poll_output(&mut self) -> Output {
        self.outputs.pop_front().unwrap_or_else(|| {
            let (at, reason) = self.next_wake().map_or((None, WakeReason::Idle), |(at, reason)| (Some(at), reason));
            Output::Wake { at, reason }
        })
    }

    fn record(&mut self, entry: Entry) {
        self.rollouts.iter_mut().filter_map(|run| run.guard.as_mut()).for_each(|guard| guard.take(&entry));
        self.outputs.push_back(Output::Record(Box::new(entry)));
    }

    fn command(&mut self, device: DeviceIndex, kind: CommandKind) {
        self.outputs.push_back(Output::Command(Command { device, kind }));
    }

    fn ignore(&mut self, reason: String) {
        self.record(Entry::Ignored { reason });
    }

    fn enroll(&mut self, devices: Vec<DeviceFacts>) {
        for facts in devices {
            if let Err(error) = self.fleet.enroll(facts, &self.policy) {
                self.ignore(error.to_string());
            }
        }
        self.fleet.seal();
        self.ledger.grow(self.fleet.len());
        for run in &mut self.rollouts {
            run.grow(self.fleet.len());
        }
    }

    fn remove(&mut self, devices: &[DeviceIndex]) {
        for device in devices {
            if !self.fleet.remove(*device) {
                self.ignore(format!("device {device} is not in the fleet"));
                continue;
            }
            self.attempt_removed(*device);
        }
    }

    fn take_telemetry(&mut self, batch: &TelemetryBatch) {
        if let Err(error) = self.fleet.take(self.now, batch) {
            self.ignore(error.to_string());
            return;
        }
        self.nowcast_tick();
        self.watch();
        self.record_tick();
    }

    fn take_forecasts(&mut self, answers: crate::forecasting::Forecasts) {
        #[cfg(feature = "planted-faults")]
        if self.has(crate::planted::Fault::StaleForecast) && self.forecasting.is_ready() {
            self.forecasting.drop_answers(self.now, self.policy.forecast.every);
            return;
        }
        match self.forecasting.take(self.now, &self.fleet, self.policy.forecast.every, answers) {
            Err(reason) => self.ignore(reason),
            // Training alone changes no forecast.
            Ok(summary) if summary.only_trained && summary.notes.is_empty() => {}
            Ok(summary) => {
                let only_trained = summary.only_trained;
                let entry = ForecastEntry {
                    origin: self.now,
                    series: summary.series,
                    mae_points: summary.mae_points(),
                    peak_coverage_percent: summary.peak_coverage_percent(),
                    demand_coverage_percent: summary.demand_coverage_percent(),
                    champions: summary.champions.iter().map(|(model, series)| (model.to_string(), *series)).collect(),
                    changed: summary.changed,
                    refitted: summary.refitted,
                    notes: summary.notes,
                };
                self.record(Entry::Forecast(Box::new(entry)));
                if !only_trained {
                    self.replan("new forecasts");
                }
            }
        }
    }

    /// Everything that is due by now, in a fixed order.
    fn advance(&mut self) {
        self.expire_commands();
        self.watch_divergence();
        self.advance_course();
        if let Some(request) = self.forecasting.ask(self.now, &self.fleet, &self.policy) {
            self.outputs.push_back(Output::Forecast(request));
        }
        self.advance_waves();
        self.plan_when_due();
        self.dispatch_due();
        self.advance_rollback();
        self.finish_when_done();
    }

    /// When something is due next, and what.
    fn next_wake(&self) -> Option<(Instant, WakeReason)> {
        let own = |run: &Run| {
            // Only what can happen in the state it is in: a moment that has passed for nothing would be asked for again and again.
            let is_paused = run.state == RolloutState::Paused;
            let stands = is_paused || run.is_running();
            let pending = run.restoring.iter().flat_map(|restoring| &restoring.pending);
            [
                (run.soak_until.filter(|at| *at > self.now), WakeReason::Soak),
                (run.resume_at.filter(|_| is_paused), WakeReason::Resume),
                (run.deadline.filter(|_| stands), WakeReason::Timeout),
                (pending.map(|pending| pending.give_up_at).min(), WakeReason::Timeout),
            ]
        };
        let shared = [
            (self.forecasting.next_at(), WakeReason::Forecast),
            (self.next_slot_at(), WakeReason::Slot),
            (self.ledger.next_timeout(), WakeReason::Timeout),
        ];
        let due = self.rollouts.iter().filter(|run| !run.state.is_end()).flat_map(own).chain(shared);
        due.filter_map(|(at, reason)| at.map(|at| (at.max(self.now), reason))).min()
    }
}
