"""Scaling and encoding of features."""

from daskml_kit.preprocessing.categorical_frames import Categorizer, DummyEncoder
from daskml_kit.preprocessing.categories import OneHotEncoder, OrdinalEncoder
from daskml_kit.preprocessing.discretizer import KBinsDiscretizer, SplineTransformer
from daskml_kit.preprocessing.label import LabelBinarizer, LabelEncoder, MultiLabelBinarizer
from daskml_kit.preprocessing.power import PowerTransformer, QuantileTransformer
from daskml_kit.preprocessing.scaler import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from daskml_kit.preprocessing.stateless import (
    Binarizer,
    BlockTransformer,
    FunctionTransformer,
    Normalizer,
    PolynomialFeatures,
)
from daskml_kit.preprocessing.target_encoder import TargetEncoder

__all__ = [
    "Binarizer",
    "BlockTransformer",
    "Categorizer",
    "DummyEncoder",
    "FunctionTransformer",
    "KBinsDiscretizer",
    "LabelBinarizer",
    "LabelEncoder",
    "MaxAbsScaler",
    "MinMaxScaler",
    "MultiLabelBinarizer",
    "Normalizer",
    "OneHotEncoder",
    "OrdinalEncoder",
    "PolynomialFeatures",
    "PowerTransformer",
    "QuantileTransformer",
    "RobustScaler",
    "SplineTransformer",
    "StandardScaler",
    "TargetEncoder",
]
