//! Nothing: the stories are in `stories/`, one file a promise.
