import gc

import pytest

from alcli.system.garbage import RARELY, rare_searches


def test_searches_are_rare_only_inside():
    before = gc.get_threshold()

    @rare_searches()
    def fail():
        assert gc.isenabled() and gc.get_threshold() == (RARELY, *before[1:])
        raise ValueError

    for _ in range(2):
        with pytest.raises(ValueError):
            fail()
        assert gc.get_threshold() == before
