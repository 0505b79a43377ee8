//! Nothing: each example is a file of its own.
