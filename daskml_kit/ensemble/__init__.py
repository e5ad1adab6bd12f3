"""Ensembles: models of the blocks, stacks, votes, and boosting that stops early."""

from daskml_kit.ensemble.blockwise_voting import BlockwiseVotingClassifier, BlockwiseVotingRegressor
from daskml_kit.ensemble.early_stopping import EarlyStopping
from daskml_kit.ensemble.stacking import StackingClassifier, StackingRegressor
from daskml_kit.ensemble.voting import VotingClassifier, VotingRegressor

__all__ = [
    "BlockwiseVotingClassifier",
    "BlockwiseVotingRegressor",
    "EarlyStopping",
    "StackingClassifier",
    "StackingRegressor",
    "VotingClassifier",
    "VotingRegressor",
]
