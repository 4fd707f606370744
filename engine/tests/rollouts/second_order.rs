//! Failures while failures are being dealt with: each ends in a state that has a name.
