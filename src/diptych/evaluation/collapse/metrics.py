"""The metrics of the collapse panel."""

from diptych.evaluation.figure import Metric

__all__ = ["METRICS"]

METRICS = {
    metric.key: metric
    for metric in (
        Metric("modes-found", "modes found", "modes", "higher", "collapse"),
        Metric("high-quality-share", "high-quality share", "share", "closer", "collapse"),
        Metric("mode-kl", "mode KL", "nats", "lower", "collapse"),
        Metric("classes-found", "classes found", "classes", "higher", "collapse"),
        Metric("class-kl", "class KL", "nats", "lower", "collapse"),
        Metric("unsure-share", "unsure share", "share", "closer", "collapse"),
        Metric("ndb", "NDB", "bins", "lower", "collapse"),
        Metric("ndb-holm", "NDB after Holm", "bins", "lower", "collapse"),
        Metric("bin-jsd", "bin JSD", "nats", "lower", "collapse"),
        Metric("birthday-support", "birthday support", "items", "closer", "collapse"),
        Metric("active-units", "active units", "units", "higher", "collapse"),
        Metric("collapsed-dimensions", "collapsed dimensions", "dimensions", "lower", "collapse"),
        Metric("posterior-kl", "posterior KL", "nats per dimension", "closer", "collapse"),
        Metric("mutual-information", "mutual information", "nats", "higher", "collapse"),
        Metric("aggregate-kl", "aggregate posterior KL", "nats", "lower", "collapse"),
        Metric("aggregate-sw2", "aggregate posterior W2", "latent units", "lower", "collapse"),
    )
}
