//! The protocol against itself: two connections and nothing between them but vectors.

mod cancel;
mod cpu;
mod depth;
mod dialogs;
mod flow;
mod hostile;
mod large;
mod loss;
mod pair;
