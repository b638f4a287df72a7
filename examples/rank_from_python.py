"""Rank images by embeddings and probabilities of your own, without a workspace, and read a workspace as tables.

Each part between two ``# %%`` is a cell of a notebook. Run it whole: ``python examples/rank_from_python.py``; give the
folder of a workspace to read that, too.
"""

# %% Any model will do: here scikit-learn's digits, their pixels as embeddings, and a classifier of 40 labels
import sys

from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

import alcli

digits = load_digits()
names = [f"digit_{number:04d}.png" for number in range(len(digits.data))]
labeled = names[:40]
model = LogisticRegression(max_iter=2000).fit(digits.data[:40], digits.target[:40])
probabilities = model.predict_proba(digits.data)

# %% One table, best first; the first 50 rows are the ones to annotate next
table = alcli.rank(names=names, embeddings=digits.data, probabilities=probabilities, labeled=labeled, budget=50)
print(table.head())

# %% Without a model, embeddings alone say which images stand for many others
print(alcli.rank(names=names, embeddings=digits.data, labeled=labeled, budget=50).head(3))

# %% Is it better than chance? Label the 50 images, train again, and compare
rows = {name: row for row, name in enumerate(names)}
for way, chosen in {"alcli": table["name"].head(50), "chance": names[40:90]}.items():
    picked = [*range(40), *(rows[name] for name in chosen)]
    again = LogisticRegression(max_iter=2000).fit(digits.data[picked], digits.target[picked])
    print(f"{way}: {again.score(digits.data[90:], digits.target[90:]):.1%} right with 90 labels")

# %% A workspace as tables
if len(sys.argv) > 1:
    workspace = alcli.open_workspace(sys.argv[1])
    print(workspace.items()["state"].value_counts())
    print(workspace.scores()[["rank", "name", "score", "reason"]].head())
    print(workspace.metrics().T)
