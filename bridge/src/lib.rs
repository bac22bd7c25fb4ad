//! Foreign event loops interlaced into a pleach tree.
