import os

# Threads of OpenMP that wait by spinning starve each other as soon as anything else runs on the machine: two fits at
# once took 120 s where they take 22 s by sleeping, while a fit alone is 6 % faster by spinning. Read when XGBoost loads.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
