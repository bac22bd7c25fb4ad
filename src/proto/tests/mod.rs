//! The protocol against itself: two connections and nothing between them but vectors.

mod cancel;
mod dialogs;
mod flow;
mod hostile;
mod loss;
mod pair;
