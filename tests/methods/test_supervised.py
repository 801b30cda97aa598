import pytest

from unlabeled.methods.supervised.classifier import SupervisedConfig
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data, DataConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.train import check_fits


def test_the_number_of_classes_is_the_datas(small_data: Data) -> None:
    run = RunConfig(method=SupervisedConfig(classes=7), data=DataConfig(name="fashion-mnist-12k"), batch_size=64)
    with pytest.raises(UserError, match=r"method.classes 7 is not the 10 classes of .*; set method.classes to 10"):
        check_fits(run, small_data)
    check_fits(run.with_field("method.classes", 10), small_data)
