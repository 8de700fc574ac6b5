//! The bindings: the only place that names pyo3.
