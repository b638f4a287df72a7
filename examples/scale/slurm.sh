#!/bin/bash
# One scoring pass as a SLURM array: sbatch slurm.sh /shared/cells
# The images and the workspace are on a disk that every node sees. Another number of shards: sbatch --array=1-64 slurm.sh …
#SBATCH --job-name=alcli-score
#SBATCH --array=1-16
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=04:00:00
#SBATCH --requeue
set -eu
workspace=${1:?usage: sbatch slurm.sh WORKSPACE}
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}
# The same line again after a kill computes only what is missing. Waits for a pull or a training that still runs.
exec alcli score -w "$workspace" --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" --wait 30m
