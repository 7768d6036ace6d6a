"""The catalogue's rows for further layers; ``PATH`` in a key stands for the path of a layer."""

from collapse_lit.metric_row import Metric, share

OF_LAYERS = (
    Metric(
        "collapse_layers/PATH/nc1",
        "NC1, coarse labels",
        "`collapse/nc1` of the layer at PATH: of its output, averaged over positions",
        better="low",
    ),
    share(
        "recovery_layers/PATH/acc",
        "recovered fine classes, train",
        "`recovery/acc` of the layer at PATH",
    ),
    share(
        "recovery_layers/PATH/clp_test",
        "recovered fine classes, test",
        "`recovery/clp_test` of the layer at PATH",
    ),
    share(
        "recovery_layers/PATH/probe_test",
        "ceiling: probe on true fine labels, test",
        "`recovery/probe_test` of the layer at PATH",
    ),
    Metric(
        "recovery_layers/PATH/nc1_fine",
        "NC1, fine labels",
        "`collapse_fine/nc1` of the layer at PATH",
        better="low",
    ),
    share(
        "recovery_layers/PATH/explained",
        "explained by the fine classes",
        "`collapse_fine/explained` of the layer at PATH",
    ),
    Metric(
        "recovery_layers/PATH/separation",
        "separation (label-free)",
        "`recovery/separation` of the layer at PATH",
        better="high",
    ),
    share(
        "recovery_layers/PATH/stability",
        "stability (label-free)",
        "`recovery/stability` of the layer at PATH",
    ),
)
