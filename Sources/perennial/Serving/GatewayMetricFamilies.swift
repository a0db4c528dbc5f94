import PerennialConsole
import PerennialGateway

extension MetricFamily {
    /// What the gateway has answered.
    static func families(of metrics: GatewayMetrics) -> [MetricFamily] {
        [
            MetricFamily(
                "perennial_gateway_answers_total", .counter, help: "Answers, by where they came from.", label: "from",
                values: [
                    "hit": metrics.hits, "stale": metrics.staleHits, "miss": metrics.misses, "pass": metrics.passed,
                    "error": metrics.errors,
                ]),
            MetricFamily(
                "perennial_gateway_statuses_total", .counter, help: "Answers, by the class of their status.",
                label: "class",
                values: [
                    "2xx": metrics.answers2xx, "3xx": metrics.answers3xx, "4xx": metrics.answers4xx,
                    "5xx": metrics.answers5xx,
                ]),
            MetricFamily(
                "perennial_gateway_requests_total", .counter, help: "Requests: GET and HEAD read, others write.",
                label: "kind", values: ["read": metrics.reads, "write": metrics.writes]),
            MetricFamily(
                "perennial_gateway_bytes_out_total", .counter, help: "Bytes given to the network.",
                value: metrics.bytesOut),
            MetricFamily(
                "perennial_gateway_connections", .gauge, help: "Open connections from clients.",
                value: metrics.openConnections),
            MetricFamily(
                "perennial_gateway_failed_handshakes_total", .counter,
                help: "Connections that ended before TLS was agreed upon.", value: metrics.failedHandshakes),
            MetricFamily(
                "perennial_gateway_refused_connections_total", .counter,
                help: "Connections for which there were too many others.", value: metrics.refusedConnections),
            MetricFamily(
                "perennial_gateway_tunnels_total", .counter,
                help: "Connections that were changed to another protocol, like WebSocket.", value: metrics.tunnels),
            MetricFamily(
                "perennial_gateway_tunnels", .gauge, help: "Connections that carry another protocol now.",
                value: metrics.openTunnels),
        ]
    }
}
