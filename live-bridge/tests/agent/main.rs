//! The agent as a real process with real scripts, against a small controller in the test.

mod controller;
mod device;
mod faults;
mod kills;
mod packages;
mod process;
mod rest;
mod scripts;
mod signed;
mod updates;
