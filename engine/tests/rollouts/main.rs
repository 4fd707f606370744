//! Whole rollouts, driven without a simulator: the engine against scripted devices, and against input that makes no sense.

mod audit;
mod divergence;
mod formats;
mod machines;
mod rig;
mod rollback;
mod second_order;
mod unseen;
mod waves;
