module countersign.example/no-proxy

go 1.27
