"""The RunPod double: REST v2 control plane and job API on a virtual clock, with the platform's habits and faults."""
