//! What a journal says of its course in figures, whoever wrote it: for comparing two journals.

use crate::tables::Tables;
use slacktide_engine::rollout::{AttemptState, RolloutState};
use std::collections::BTreeMap;

impl Tables {
    /// Figures that every journal with a rollout has, by name: counts of devices, `makespan_s`, `batches`, `pauses`, and of the ticks from
    /// the beginning of the rollout on the highest `worst_pool_percent` and the lowest `least_updated_capacity`.
    pub fn course(&self) -> BTreeMap<&'static str, f64> {
        let mut course = BTreeMap::new();
        let Some(began) = self.began() else { return course };
        let ends = self.ended();
        let last = ends.values().filter(|(_, state)| state.is_end()).map(|(at, _)| *at).max();
        if let Some(last) = last.filter(|_| ends.values().all(|(_, state)| state.is_end())) {
            course.insert("makespan_s", last.since(began).as_secs_f64());
        }
        let ended = |end: AttemptState| self.settled.iter().filter(|(_, s)| s.end == end).count() as f64;
        if let Some((_, tick)) = self.ticks.last() {
            course.insert("updated_devices", f64::from(tick.states.updated));
            course.insert("failed_devices", f64::from(tick.states.failed));
        }
        course.insert("rolled_back_devices", ended(AttemptState::RolledBack));
        course.insert("batches", self.batches.len() as f64);
        let pauses = self.transitions.iter().filter(|t| t.to == RolloutState::Paused).count();
        course.insert("pauses", pauses as f64);
        let under_way = || self.ticks.iter().filter(|(at, _)| *at >= began).map(|(_, tick)| tick);
        if let Some(worst) = under_way().map(|tick| tick.worst_pool_percent).reduce(f64::max) {
            course.insert("worst_pool_percent", worst);
        }
        if let Some(least) = under_way().filter_map(|tick| tick.updated_capacity).reduce(f64::min) {
            course.insert("least_updated_capacity", least);
        }
        course
    }
}
