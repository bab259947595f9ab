import os

# OpenMP threads that wait by spinning starve each other as soon as anything else runs on the machine, and two fits at
# once then take several times as long as one after the other. XGBoost reads this when it is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
