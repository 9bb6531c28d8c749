#include "only_selector.cpp"
