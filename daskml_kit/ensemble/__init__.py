"""Ensembles: models of the blocks, and models that learn from the predictions of others."""

from daskml_kit.ensemble.blockwise_voting import BlockwiseVotingClassifier, BlockwiseVotingRegressor
from daskml_kit.ensemble.stacking import StackingClassifier, StackingRegressor

__all__ = ["BlockwiseVotingClassifier", "BlockwiseVotingRegressor", "StackingClassifier", "StackingRegressor"]
