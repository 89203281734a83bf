"""The alarm evaluator of the embedded cloud: CloudWatch's documented rules over the metrics that moto keeps.

rules        what data points mean (M of N, missing data), pure
series       data points of a metric: statistics over any window of whole minutes
expressions  the metric math that alarms here use
definition   an alarm as PutMetricAlarm and PutCompositeAlarm take it
evaluator    all alarms of one cloud on a clock that the caller moves
service      the evaluator inside the embedded cloud: reads moto, sets states, delivers notifications

Where AWS documents no rule, ours is named as such in docs/adr/0050.
"""
