//! The protocol against itself: two connections and nothing between them but vectors.

mod cancel;
mod cpu;
mod dialogs;
mod flow;
mod golden;
mod hostile;
mod loss;
mod pair;
