from dataclasses import replace

import pytest
from formats import plain

from unlabeled.methods.supervised.classifier import SupervisedConfig
from unlabeled.platform.data import Data
from unlabeled.platform.encoder import ConvNetConfig


@pytest.mark.parametrize("classes", [7, 10])
def test_the_number_of_classes_is_the_datas(small_data: Data, classes: int) -> None:
    data = replace(small_data, classes=small_data.classes[:classes])
    method = SupervisedConfig().build(ConvNetConfig(width=4).build(plain(1, 28)), data)
    assert method.classifier.out_features == classes
