"""Linear models by stochastic gradients: coordinates, rules, and the steps that trainers make."""
