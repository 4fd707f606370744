//! An engine under way outside a simulated run: inputs in, commands to a model of the world, and what is said kept for whoever asks.

use super::model::Model;
use crate::fitting;
use slacktide_engine::Engine;
use slacktide_engine::forecasting::{ForecastRequest, Forecasts};
use slacktide_engine::input::Input;
use slacktide_engine::journal::entry::Entry;
use slacktide_engine::output::{Command, Output};
use slacktide_engine::time::Instant;

#[derive(Debug, Clone)]
pub(crate) struct Drive {
    pub(crate) engine: Engine,
    pub(crate) now: Instant,
    pub(crate) wake: Option<Instant>,
    /// Does it fit what is asked for? Not while recorded answers are handed in.
    pub(crate) fits: bool,
    asked: Option<ForecastRequest>,
    /// Fitted when they were asked for, as a driver does.
    forecasts: Option<Forecasts>,
    /// Not carried out yet.
    pub(crate) commands: Vec<(Instant, Command)>,
    /// Said and not taken yet.
    pub(crate) entries: Vec<(Instant, Entry)>,
}

impl Drive {
    pub(crate) const fn new(engine: Engine, now: Instant, fits: bool) -> Self {
        Self { engine, now, wake: None, fits, asked: None, forecasts: None, commands: Vec::new(), entries: Vec::new() }
    }

    /// When the engine must be served before a later input can be handed in.
    pub(crate) fn due_before(&self, at: Instant) -> Option<Instant> {
        if self.forecasts.is_some() && self.now < at {
            return Some(self.now);
        }
        self.wake.filter(|wake| *wake < at).map(|wake| wake.max(self.now))
    }

    /// Hands in what is due: forecasts, or the time.
    pub(crate) fn serve(&mut self, at: Instant) {
        if self.forecasts.is_some() {
            self.answer(at);
        } else {
            self.hand_in(at, Input::Wake);
        }
    }

    pub(crate) fn answer(&mut self, at: Instant) {
        if let Some(forecasts) = self.forecasts.take() {
            self.hand_in(at, Input::Forecasts(forecasts));
        }
    }

    /// From here on it fits for itself, beginning with what was asked for last and not answered.
    pub(crate) fn begin_to_fit(&mut self) {
        self.fits = true;
        if let Some(request) = self.asked.take() {
            self.forecasts = Some(self.fit(&request));
        }
    }

    fn fit(&mut self, request: &ForecastRequest) -> Forecasts {
        let spent = self.engine.spent_fits();
        let engine = &self.engine;
        fitting::answers(request, spent, |room, key, fit| engine.fit_into(key, room, fit))
    }

    pub(crate) fn hand_in(&mut self, at: Instant, input: Input) {
        self.now = self.now.max(at);
        if matches!(input, Input::Forecasts(_)) {
            self.asked = None;
        }
        self.engine.handle_input(self.now, input);
        loop {
            match self.engine.poll_output() {
                Output::Record(entry) => self.entries.push((self.now, *entry)),
                Output::Command(command) => self.commands.push((self.now, command)),
                Output::Forecast(request) if self.fits => self.forecasts = Some(self.fit(&request)),
                Output::Forecast(request) => self.asked = Some(request),
                Output::Wake { at, .. } => {
                    self.wake = at;
                    break;
                }
            }
        }
    }

    /// The model carries the commands out, until `end` or until every rollout has ended. `each` is called after every input.
    pub(crate) fn go_on(&mut self, model: &mut Model<'_>, end: Instant, each: &mut dyn FnMut(&mut Self)) {
        self.carry(model);
        while self.now < end && !self.engine.rollouts().all(|(_, state)| state.is_end()) {
            if self.forecasts.is_some() {
                self.answer(self.now);
            } else {
                let event = model.next_at();
                let Some(at) = [event, self.wake].into_iter().flatten().min() else { break };
                let input = if event == Some(at) { model.next(&self.engine) } else { Some(Input::Wake) };
                if let Some(input) = input {
                    self.hand_in(at, input);
                }
            }
            self.carry(model);
            each(self);
        }
    }

    fn carry(&mut self, model: &mut Model<'_>) {
        let commands: Vec<Command> = self.commands.drain(..).map(|(_, command)| command).collect();
        model.carry(self.now, &commands);
    }
}
