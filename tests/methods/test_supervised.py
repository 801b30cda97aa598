import pytest
from formats import plain
from sources import with_classes

from unlabeled.methods.supervised.classifier import SupervisedConfig
from unlabeled.platform.data import Data
from unlabeled.platform.encoder import ConvNetConfig


@pytest.mark.parametrize("classes", [10, 12])
def test_the_number_of_classes_is_the_datas(small_data: Data, classes: int) -> None:
    data = with_classes(small_data, [str(number) for number in range(classes)])
    method = SupervisedConfig().build(ConvNetConfig(width=4).build(plain(1, 28)), data)
    assert method.classifier.out_features == classes
