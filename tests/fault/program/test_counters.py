"""Counters are there before their first event, where what they count is known by then: alerts and
rates are made of what a counter was before, and one that is born as 1 hides its first event."""

import world


class Counters(world.World):
    def zeros(self, sample, worker):
        """Label values of the metric's series, all of which are 0."""
        found = [(tuple(labels.values()), value) for name, labels, value in worker.metrics()
                 if name == sample]
        self.assertEqual({value for _, value in found}, {0.0} if found else set())
        return sorted(labels for labels, _ in found)

    def started(self, stream=None, exports=(), **more):
        emulator = self.emulator("orders:shards=1:records=0:pitr=1")
        worker = self.worker(emulator, "orders", stream=stream, **more)
        worker.config["exports"] = exports
        worker.start()
        worker.wait_for(lambda: worker.metrics() and any(
            name == "sluice_shards" for name, _, _ in worker.metrics()), "its session reads")
        return worker

    def test_dead_letters_of_each_sink_and_reason(self):
        worker = self.started({"transform": [{"drop": ["secret"]}]})
        self.assertEqual(self.zeros("sluice_dead_letters_total", worker), [
            ("", "undecodable"), ("files", "refused"), ("files", "transform")])
        self.assertEqual(self.zeros("sluice_dropped_total", worker), [])
        self.assertEqual(self.zeros("sluice_control_events_total", worker), [
            ("files", "failed"), ("files", "told")])
        self.assertEqual(self.zeros("sluice_sessions_ended_total", worker), [
            ("lost",), ("sink_silent",)])

    def test_drops_of_each_reason(self):
        worker = self.started({"on_error": "drop"}, sinks={"files": {
            "type": "directory", "path": f"{self.folder}/out/${{attribute:region}}/",
            "missing": "dead_letter"}})
        self.assertEqual(self.zeros("sluice_dropped_total", worker),
                         [("refused",), ("route",), ("undecodable",)])
        self.assertEqual(self.zeros("sluice_dead_letters_total", worker), [])

    def test_letters_that_go_to_a_sink_files_of_exports_and_repairs(self):
        worker = self.started(
            {"gap": "repair", "baseline": {"bucket": "exports"}},
            dead_letter={"sink": "bad"},
            exports=[{"table": "orders", "bucket": "exports", "full": "0 4 * * SAT",
                      "sinks": ["files"]}],
            sinks={"bad": {"type": "directory", "path": f"{self.folder}/bad/"}})
        self.assertEqual(self.zeros("sluice_dead_letters_sent_total", worker), [
            ("bad", "failed"), ("bad", "refused"), ("bad", "sent")])
        self.assertEqual(self.zeros("sluice_repairs_total", worker), [("orders",)])
        self.assertEqual(self.zeros("sluice_export_files", worker), [
            ("orders", status) for status in ("completed", "failed", "in_progress", "pending")])


if __name__ == "__main__":
    world.unittest.main()
