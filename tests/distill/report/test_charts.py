"""Charts as they stand in the page."""

from distill.report import charts


def test_a_logarithmic_axis_is_labelled_in_plain_numbers():
    curves = {
        "loss": [(20, 8.0), (40, 4.0)],
        "loss/attention": [(20, 7.9), (40, 3.95)],
        "loss/embedding": [(20, 0.02), (40, 0.05)],
    }
    svg = charts.loss_chart("intermediate", curves)
    assert "mathdefault" not in svg
    assert ">0.1<" in svg
