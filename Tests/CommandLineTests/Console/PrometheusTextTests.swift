import PerennialConsole
import Testing

/// The text that Prometheus reads.
struct PrometheusTextTests {
    @Test func `a family has its help, its type and its samples`() {
        let family = MetricFamily(
            "jobs", .gauge, help: "Jobs by state.", label: "state", values: ["queued": 3, "dead": 0])
        #expect(
            PrometheusText.write([family]) == """
                # HELP jobs Jobs by state.
                # TYPE jobs gauge
                jobs{state="queued"} 3
                jobs{state="dead"} 0

                """)
    }

    @Test func `help and labels are escaped`() {
        let family = MetricFamily(
            "m", .counter, help: "a \"b\" \\ c\nd",
            samples: [.init(1, labels: [.init("x", "\"q\" \\ \n"), .init("y", "2")])])
        #expect(
            PrometheusText.write([family])
                == "# HELP m a \"b\" \\\\ c\\nd\n# TYPE m counter\nm{x=\"\\\"q\\\" \\\\ \\n\",y=\"2\"} 1\n")
    }

    @Test(arguments: [
        (0.0, "0"), (1e15, "1000000000000000"), (0.25, "0.25"), (.infinity, "+Inf"), (-.infinity, "-Inf"),
        (.nan, "NaN"),
    ])
    func `numbers are written as Prometheus reads them`(value: Double, expected: String) {
        let text = PrometheusText.write([MetricFamily("m", .gauge, help: "h", samples: [.init(value)])])
        #expect(text.hasSuffix("\nm \(expected)\n"))
    }
}
