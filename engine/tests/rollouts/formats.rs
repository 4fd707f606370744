//! What is read from outside: inputs, journal lines, whole journals, damaged ones too.
