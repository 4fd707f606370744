//! Every identifier of the engine, in one place.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

macro_rules! text_id {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The identifier with this text.
            pub fn new(text: impl Into<Arc<str>>) -> Self { Self(text.into()) }
            /// Its text.
            pub fn as_str(&self) -> &str { &self.0 }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self { Self::new(text) }
        }
    )+};
}

macro_rules! number_id {
    ($($(#[$doc:meta])* $name:ident($inner:ty)),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            /// As a position in a table.
            pub const fn index(self) -> usize { self.0 as usize }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { self.0.fmt(f) }
        }
    )+};
}

text_id! {
    /// One machine.
    DeviceId,
    /// What serves one demand together: when a member is out, its load moves to the others.
    PoolId,
    /// Geography, the large kind: shares links and laws.
    RegionId,
    /// Geography, the small kind: shares a roof.
    SiteId,
}

number_id! {
    /// A device's place in the engine's tables, in the order of enrolment. Stable for the engine's life.
    DeviceIndex(u32),
    /// A pool's place in the engine's tables.
    PoolIndex(u32),
    /// A region's place in the engine's tables.
    RegionIndex(u32),
    /// One release's whole way through a target fleet.
    RolloutId(u32),
    /// One numbered try to bring one device to one release.
    AttemptId(u64),
    /// One command to one device; it gets exactly one outcome.
    CommandId(u64),
    /// One plan; grows by one, never reused. Also the generation that fences stale commands.
    PlanNumber(u64),
    /// A step of a rollout, counted from 0.
    WaveIndex(u16),
}
