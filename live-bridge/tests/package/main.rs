//! Packages from a folder to a device, and everything that should be refused on the way.

mod round_trip;
mod world;
