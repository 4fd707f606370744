//! The door with real TLS on 127.0.0.1: who is let in, who is cut off, and what the authority's folder holds.
// Measured figures are shown with --nocapture, and the server in another process tells its address.
#![allow(clippy::print_stdout)]

mod crowds;
mod cuts;
mod descriptors;
mod doors;
mod enrolments;
mod folders;
mod rotations;
mod service;
mod world;
