"""Ensembles of models of the blocks."""

from daskml_kit.ensemble.blockwise_voting import BlockwiseVotingClassifier, BlockwiseVotingRegressor

__all__ = ["BlockwiseVotingClassifier", "BlockwiseVotingRegressor"]
