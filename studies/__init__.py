"""The studies, by name, in reading order."""

from collections.abc import Mapping

from unlabeled.platform.study import Study
from unlabeled.studies.augmentation_composition import STUDY as AUGMENTATION_COMPOSITION
from unlabeled.studies.batch_size import STUDY as BATCH_SIZE
from unlabeled.studies.clip_zero_shot import STUDY as CLIP_ZERO_SHOT
from unlabeled.studies.clustering import STUDY as CLUSTERING
from unlabeled.studies.color_strength import STUDY as COLOR_STRENGTH
from unlabeled.studies.cpc_sound import STUDY as CPC_SOUND
from unlabeled.studies.cpc_vision import STUDY as CPC_VISION
from unlabeled.studies.exemplar_and_instance import STUDY as EXEMPLAR_AND_INSTANCE
from unlabeled.studies.generative_features import STUDY as GENERATIVE_FEATURES
from unlabeled.studies.inpainting_loss import STUDY as INPAINTING_LOSS
from unlabeled.studies.label_fraction import STUDY as LABEL_FRACTION
from unlabeled.studies.loss_family import STUDY as LOSS_FAMILY
from unlabeled.studies.losses import STUDY as LOSSES
from unlabeled.studies.mae_fine_tuned import STUDY as MAE_FINE_TUNED
from unlabeled.studies.mask_ratio import STUDY as MASK_RATIO
from unlabeled.studies.mechanism_cost import STUDY as MECHANISM_COST
from unlabeled.studies.moco_ablation import STUDY as MOCO_ABLATION
from unlabeled.studies.moco_temperature import STUDY as MOCO_TEMPERATURE
from unlabeled.studies.moco_v3 import STUDY as MOCO_V3
from unlabeled.studies.moco_vs_simclr import STUDY as MOCO_VS_SIMCLR
from unlabeled.studies.momentum import STUDY as MOMENTUM
from unlabeled.studies.negatives_and_mutual_information import STUDY as NEGATIVES_AND_MUTUAL_INFORMATION
from unlabeled.studies.pretext_tasks import STUDY as PRETEXT_TASKS
from unlabeled.studies.projection_head import STUDY as PROJECTION_HEAD
from unlabeled.studies.projection_width import STUDY as PROJECTION_WIDTH
from unlabeled.studies.queue_size import STUDY as QUEUE_SIZE
from unlabeled.studies.shuffle_bn import STUDY as SHUFFLE_BN
from unlabeled.studies.temperature import STUDY as TEMPERATURE
from unlabeled.studies.transfer import STUDY as TRANSFER
from unlabeled.studies.what_not_to_contrast import STUDY as WHAT_NOT_TO_CONTRAST
from unlabeled.studies.what_the_head_forgets import STUDY as WHAT_THE_HEAD_FORGETS

STUDIES: Mapping[str, Study] = {
    study.name: study
    for study in (
        PROJECTION_HEAD,
        PROJECTION_WIDTH,
        BATCH_SIZE,
        MOCO_VS_SIMCLR,
        MOCO_ABLATION,
        MOCO_TEMPERATURE,
        MECHANISM_COST,
        TEMPERATURE,
        MOMENTUM,
        QUEUE_SIZE,
        SHUFFLE_BN,
        AUGMENTATION_COMPOSITION,
        COLOR_STRENGTH,
        LOSSES,
        LOSS_FAMILY,
        WHAT_THE_HEAD_FORGETS,
        WHAT_NOT_TO_CONTRAST,
        NEGATIVES_AND_MUTUAL_INFORMATION,
        PRETEXT_TASKS,
        CPC_VISION,
        EXEMPLAR_AND_INSTANCE,
        CLUSTERING,
        GENERATIVE_FEATURES,
        INPAINTING_LOSS,
        MASK_RATIO,
        MAE_FINE_TUNED,
        MOCO_V3,
        LABEL_FRACTION,
        TRANSFER,
        CLIP_ZERO_SHOT,
        CPC_SOUND,
    )
}
