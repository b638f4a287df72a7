from alcli.artifacts.scores import current_list, last_scores, start_of_list
from alcli.context import Context
from alcli.system.progress import Silent
from alcli.workspace import Workspace


def test_the_start_of_a_list_knows_how_many_rows_follow(alcli, workspace):
    code, _, err = alcli("cycle", "--strategy", "random", "--allow-cold-start", "-w", workspace)
    assert code == 0, err
    first = (workspace / "cycles" / "0001" / "scores.csv").read_text().splitlines()[1].split(",")
    assert alcli("skip", "-w", workspace, first[1])[0] == 0
    opened = Workspace.open(workspace)
    context = Context(opened, opened.configuration(), Silent())
    record = last_scores(context)
    rows = current_list(context, record)
    assert len(rows) == 3 and first[1] not in {row.item.id for row in rows}
    assert start_of_list(context, record, 2) == (rows[:2], 3)
    assert start_of_list(context, record, 9) == (rows, 3)
    opened.close()
