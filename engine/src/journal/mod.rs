//! The one record that reports, replay and the twin read.
//!
//! [`entry`] says what stands in it, [`chain`] how its lines hang together, [`replay`] how a full journal is run again.

pub mod chain;
pub mod entry;
pub mod replay;

pub use chain::{Broken, ChainReader, ChainWriter, verify};
pub use entry::{Entry, Header, JournalMode, Line};
