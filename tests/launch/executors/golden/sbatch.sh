#!/bin/bash

# Parameters
#SBATCH --account=lab
#SBATCH --cpus-per-task=8
#SBATCH --dependency=afterok:200_0
#SBATCH --error=DIR/sweep/logs/slurm/%j_0_log.err
#SBATCH --gpus-per-node=8
#SBATCH --job-name=hh-pmp
#SBATCH --kill-on-invalid-dep=yes
#SBATCH --mem=200GB
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --open-mode=append
#SBATCH --output=DIR/sweep/logs/slurm/%j_0_log.out
#SBATCH --signal=USR2@90
#SBATCH --time=60
#SBATCH --wckey=submitit

# command
export SUBMITIT_EXECUTOR=slurm
srun --unbuffered --output DIR/sweep/logs/slurm/%j_%t_log.out --error DIR/sweep/logs/slurm/%j_%t_log.err PYTHON -u -m submitit.core._submit DIR/sweep/logs/slurm
