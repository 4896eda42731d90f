"""What LightGBM over nodes takes: what it would learn another answer from is refused."""

from __future__ import annotations

from typing import Any

from talkoot.core.errors import NotDistributable
from talkoot.learners.common.columnwise import ORDER
from talkoot.learners.common.estimator import refuse
from talkoot.learners.common.queries import ranks

WHOLE = """learning_rate n_estimators num_leaves max_depth subsample_for_bin objective class_weight
    min_split_gain min_child_weight min_child_samples subsample subsample_freq colsample_bytree reg_alpha
    reg_lambda random_state n_jobs importance_type boosting_type validation_fraction"""  # of the constructor
MORE = """bagging_fraction bagging_freq feature_fraction lambda_l1 lambda_l2 min_data_in_leaf
    min_sum_hessian_in_leaf min_gain_to_split boosting verbosity max_bin min_data_in_bin
    bin_construct_sample_cnt data_random_seed seed deterministic force_row_wise force_col_wise
    use_missing zero_as_missing enable_bundle feature_pre_filter boost_from_average scale_pos_weight
    is_unbalance sigmoid alpha fair_c poisson_max_delta_step tweedie_variance_power max_delta_step
    path_smooth extra_trees extra_seed feature_fraction_bynode feature_fraction_seed bagging_seed
    pos_bagging_fraction neg_bagging_fraction drop_rate max_drop skip_drop drop_seed uniform_drop
    xgboost_dart_mode top_rate other_rate data_sample_strategy monotone_constraints
    monotone_constraints_method monotone_penalty interaction_constraints max_bin_by_feature linear_tree
    linear_lambda histogram_pool_size reg_sqrt
    lambdarank_truncation_level lambdarank_norm label_gain objective_seed early_stopping_round
    early_stopping_min_delta first_metric_only metric"""  # that go through **kwargs, under any of their names
REASONS = {
    "tree_learner": ("nodes of one process learn as one", "Leave it out."),
    "categorical_feature": ("categories are not there yet", ORDER),
    "device_type": ("GPUs are not there yet", "Leave it out."),
}


def accept(estimator: Any) -> None:
    """Refuse parameters.

    Raises:
        NotDistributable: of the first that cannot be distributed.
    """
    from lightgbm.basic import _ConfigAliases

    if estimator.objective is not None and not isinstance(estimator.objective, str):
        refuse(estimator, "objective", "it is a function", "Take one of LightGBM's own, by its name.")
    if estimator.n_estimators < 1:
        refuse(estimator, "n_estimators", "there is nothing to learn", "Take at least 1.")
    taken = {*WHOLE.split(), *_ConfigAliases.get(*MORE.split())}
    for name, value in estimator.get_params(deep=False).items():
        main = next((known for known in REASONS if name in _ConfigAliases.get(known)), name)
        if name not in taken and value is not None:
            reason, cure = REASONS.get(main, ("nodes may not share it", "Leave it out."))
            cause = f"{type(estimator).__name__}({name}={value!r}) cannot be distributed: {reason}"
            raise NotDistributable(cause, cure=cure)
    params = estimator.get_params(deep=False)
    if not patience(estimator):
        if params.get("validation_fraction") is not None:
            cure = "Take early_stopping_round=, or leave it out."
            refuse(estimator, "validation_fraction", "no rows are held out without early stopping", cure)
        return
    kind = "queries are not held out yet" if ranks(estimator) else ""
    if "dart" in (params["boosting_type"], params.get("boosting"), params.get("boost")):
        kind = "LightGBM does not stop early with dart"
    if kind:
        cause = f"{type(estimator).__name__} cannot stop early over nodes: {kind}"
        raise NotDistributable(cause, cure="Leave early_stopping_round= out and choose n_estimators=.")


def patience(estimator: Any) -> int:
    """Iterations without a better score of the rows held out after which growth ends; 0 for none."""
    from lightgbm.basic import _ConfigAliases

    params = estimator.get_params(deep=False)
    found = (params.get(name) for name in sorted(_ConfigAliases.get("early_stopping_round")))
    return next((max(0, int(value)) for value in found if value is not None), 0)
