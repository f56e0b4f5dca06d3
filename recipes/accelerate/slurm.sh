#!/usr/bin/env bash
# A SLURM job: one launcher on each node, which starts a process for each of its GPUs.
#   sbatch recipes/accelerate/slurm.sh recipes/sentiment_transfer/train.py --config recipes/sentiment_transfer/full.yaml
# Submit it from the repository's root, on a disk that all nodes share. The job that is submitted again goes on where
# this one stopped; SLURM ends it with SIGTERM.
#SBATCH --job-name=nlp-transfer
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=32
#SBATCH --time=04:00:00
#SBATCH --requeue
set -euo pipefail
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export FIRST="$first" PROCESSES=$((SLURM_NNODES * SLURM_GPUS_ON_NODE))
# One task a node: srun with a task for each GPU would start as many runs that do not know each other.
srun bash -c 'accelerate launch --config_file recipes/accelerate/multi_node.yaml --num_machines "$SLURM_NNODES" --num_processes "$PROCESSES" --machine_rank "$SLURM_NODEID" --main_process_ip "$FIRST" "$@"' launch "$@"
