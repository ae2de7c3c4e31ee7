package terraform

import (
	"slices"
	"strconv"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// google are the rules about Google Cloud.
func google() []Rule {
	const askWho = "?the addresses that may connect"
	pools := "google_container_node_pool google_container_cluster"
	instances := "google_compute_instance google_compute_instance_template google_compute_instance_from_template"
	public := func(field string) judge {
		return accepts(field, "?who may use it", true, func(v cty.Value) bool {
			list, _ := texts(v)
			return !slices.Contains(list, "allUsers") && !slices.Contains(list, "allAuthenticatedUsers")
		})
	}
	iam := func(kind string) string { return kind + "_iam_member " + kind + "_iam_binding" }
	anybody := all(public("member"), public("members"))
	return []Rule{
		rule("google-firewall-open-ssh", "SSH is open to the internet", critical, "CKV_GCP_2 compute_firewall_ssh_access_from_the_internet_allowed", "google_compute_firewall", openFirewall(askWho, 22)),
		rule("google-firewall-open-rdp", "RDP is open to the internet", critical, "CKV_GCP_3 compute_firewall_rdp_access_from_the_internet_allowed", "google_compute_firewall", openFirewall(askWho, 3389)),
		rule("google-firewall-open-mysql", "MySQL is open to the internet", high, "CKV_GCP_88", "google_compute_firewall", openFirewall(askWho, 3306)),
		rule("google-firewall-open-database", "A port of databases is open to the internet", high, "", "google_compute_firewall", openFirewall(askWho, databasePorts...)),
		rule("google-firewall-open-http", "HTTP without encryption is open to the internet", low, "CKV_GCP_106", "google_compute_firewall", openFirewall(askWho, 80)),
		rule("google-firewall-open-any", "A port is open to the internet", medium, "AVD-GCP-0027 google-compute-no-public-ingress", "google_compute_firewall", openFirewall(askWho, anyPort)),

		rule("google-bucket-uniform", "Objects of the bucket have ACLs of their own", medium,
			"CKV_GCP_29 AVD-GCP-0002 google-storage-enable-ubla cloudstorage_bucket_uniform_bucket_level_access", "google_storage_bucket", is("uniform_bucket_level_access", "true", false)),
		rule("google-bucket-public-prevention", "The bucket may be made public", medium, "CKV_GCP_114", "google_storage_bucket", is("public_access_prevention", `"enforced"`, false)),
		rule("google-bucket-public", "Anybody may use the bucket", high, "CKV_GCP_28 AVD-GCP-0001 google-storage-no-public-access cloudstorage_bucket_public_access", iam("google_storage_bucket"), anybody),
		rule("google-bucket-versions", "The bucket keeps no versions", low, "CKV_GCP_78 cloudstorage_bucket_versioning_enabled", "google_storage_bucket", is("versioning[0].enabled", "true", false)),
		rule("google-bucket-logging", "Access to the bucket is not logged", low, "CKV_GCP_62 cloudstorage_bucket_logging_enabled", "google_storage_bucket", states("logging", "?the bucket that takes the logs")),
		rule("google-bigquery-public", "Anybody may read the dataset", critical, "CKV_GCP_15 AVD-GCP-0046 google-bigquery-no-public-access bigquery_dataset_public_access", "google_bigquery_dataset",
			every("access", func(f string) judge {
				return all(isNot(f+".special_group", "?who may read it", "allAuthenticatedUsers"), isNot(f+".iam_member", "?who may read it", "allUsers"))
			})),
		rule("google-pubsub-public", "Anybody may use the topic", high, "CKV_GCP_99", iam("google_pubsub_topic"), anybody),
		rule("google-run-public", "Anybody may call the service", high, "CKV_GCP_102", iam("google_cloud_run_service"), anybody),
		rule("google-function-public", "Anybody may call the function", high, "CKV_GCP_107", iam("google_cloudfunctions_function")+" google_cloudfunctions2_function_iam_member google_cloudfunctions2_function_iam_binding", anybody),
		rule("google-kms-public", "Anybody may use the key", critical, "CKV_GCP_112", iam("google_kms_crypto_key"), anybody),
		rule("google-kms-rotation", "The key is rotated seldom or never", medium, "CKV_GCP_43 kms_key_rotation_enabled", "google_kms_crypto_key",
			unless("purpose", one("ASYMMETRIC_SIGN", "ASYMMETRIC_DECRYPT", "MAC"), accepts("rotation_period", `"7776000s"`, false, func(v cty.Value) bool {
				s, _ := text(v)
				s, unit := strings.CutSuffix(s, "s")
				n, err := strconv.ParseFloat(s, 64)
				return unit && err == nil && n > 0 && n <= 7776000
			}))),

		rule("google-sql-ssl", "The database takes connections without encryption", high, "CKV_GCP_6 AVD-GCP-0015 google-sql-encrypt-in-transit-data cloudsql_instance_ssl_connections", "google_sql_database_instance",
			first([]string{"settings[0].ip_configuration[0].require_ssl", "settings[0].ip_configuration[0].ssl_mode"}, func(f string) judge {
				if strings.HasSuffix(f, "require_ssl") {
					return is(f, "true", false)
				}
				return accepts(f, `"ENCRYPTED_ONLY"`, false, one("ENCRYPTED_ONLY", "TRUSTED_CLIENT_CERTIFICATE_REQUIRED"))
			})),
		rule("google-sql-public-address", "The database has a public address", high, "CKV_GCP_60 cloudsql_instance_public_ip", "google_sql_database_instance", is("settings[0].ip_configuration[0].ipv4_enabled", "false", false)),
		rule("google-sql-open", "The database lets every address in", critical, "CKV_GCP_11 cloudsql_instance_public_access", "google_sql_database_instance",
			every("settings[0].ip_configuration[0].authorized_networks", func(f string) judge {
				return accepts(f+".value", askWho, true, func(v cty.Value) bool { s, _ := text(v); return !everywhere(s) })
			})),
		rule("google-sql-backup", "The database is not backed up", medium, "CKV_GCP_14 AVD-GCP-0024 google-sql-enable-backup cloudsql_instance_automated_backups", "google_sql_database_instance",
			unless("master_instance_name", isText, is("settings[0].backup_configuration[0].enabled", "true", false))),

		rule("google-gke-legacy-abac", "The cluster authorises by attributes, the old way", high, "CKV_GCP_7 AVD-GCP-0062 google-gke-use-rbac-permissions", "google_container_cluster", is("enable_legacy_abac", "false", true)),
		rule("google-gke-private-nodes", "Nodes of the cluster have public addresses", medium, "CKV_GCP_64 AVD-GCP-0059 google-gke-enable-private-cluster", "google_container_cluster", is("private_cluster_config[0].enable_private_nodes", "true", false)),
		rule("google-gke-authorized-networks", "The cluster's API can be reached from every network", high, "CKV_GCP_20 AVD-GCP-0061 google-gke-enable-master-networks", "google_container_cluster", states("master_authorized_networks_config", "?the networks that administer the cluster")),
		rule("google-gke-public-control-plane", "The cluster's API lets every address in", high, "CKV_GCP_18 AVD-GCP-0053 google-gke-no-public-control-plane", "google_container_cluster",
			every("master_authorized_networks_config[0].cidr_blocks", func(f string) judge {
				return accepts(f+".cidr_block", "?the networks that administer the cluster", true, func(v cty.Value) bool { s, _ := text(v); return !everywhere(s) })
			})),
		rule("google-gke-shielded", "Nodes are not checked when they start", medium, "CKV_GCP_71 AVD-GCP-0055 google-gke-node-shielding-enabled", "google_container_cluster", is("enable_shielded_nodes", "true", true)),
		rule("google-gke-client-certificate", "The cluster gives a client certificate", medium, "CKV_GCP_13 AVD-GCP-0064 google-gke-no-legacy-authentication", "google_container_cluster", is("master_auth[0].client_certificate_config[0].issue_client_certificate", "false", true)),
		rule("google-gke-network-policy", "The cluster has no network policies", medium, "CKV_GCP_12 AVD-GCP-0056 google-gke-enable-network-policy", "google_container_cluster",
			unless("datapath_provider", one("ADVANCED_DATAPATH"), is("network_policy[0].enabled", "true", false))),
		rule("google-gke-logging", "The cluster does not log", medium, "CKV_GCP_1 AVD-GCP-0060 google-gke-enable-stackdriver-logging", "google_container_cluster", isNot("logging_service", `"logging.googleapis.com/kubernetes"`, "none")),
		rule("google-gke-monitoring", "The cluster is not watched", low, "CKV_GCP_8 AVD-GCP-0052 google-gke-enable-stackdriver-monitoring", "google_container_cluster", isNot("monitoring_service", `"monitoring.googleapis.com/kubernetes"`, "none")),
		rule("google-gke-intranode", "Traffic inside nodes is not seen", low, "CKV_GCP_61", "google_container_cluster", is("enable_intranode_visibility", "true", false)),
		rule("google-gke-metadata", "Pods can read the node's metadata", medium, "CKV_GCP_69 AVD-GCP-0057 google-gke-node-metadata-security", pools,
			first([]string{"node_config[0].workload_metadata_config[0].node_metadata", "node_config[0].workload_metadata_config[0].mode"}, func(f string) judge {
				return accepts(f, `"GKE_METADATA"`, false, one("GKE_METADATA", "GKE_METADATA_SERVER", "SECURE"))
			})),
		rule("google-gke-secure-boot", "Nodes start what is not signed", low, "CKV_GCP_68", pools, is("node_config[0].shielded_instance_config[0].enable_secure_boot", "true", false)),
		rule("google-gke-auto-repair", "Broken nodes are not repaired", low, "CKV_GCP_9 AVD-GCP-0063 google-gke-enable-auto-repair", "google_container_node_pool", is("management[0].auto_repair", "true", false)),
		rule("google-gke-auto-upgrade", "Nodes are not upgraded", low, "CKV_GCP_10 AVD-GCP-0058 google-gke-enable-auto-upgrade", "google_container_node_pool", is("management[0].auto_upgrade", "true", false)),

		rule("google-vm-public-address", "The machine has a public address", medium, "CKV_GCP_40 AVD-GCP-0031 google-compute-no-public-ip compute_instance_public_ip", instances,
			every("network_interface", func(f string) judge { return all(gone(f+".access_config"), gone(f+".ipv6_access_config")) })),
		rule("google-vm-serial", "The machine's serial port can be reached", medium, "CKV_GCP_35 AVD-GCP-0032 google-compute-no-serial-port compute_instance_serial_ports_in_use", instances,
			accepts("metadata.serial-port-enable", `"false"`, true, func(v cty.Value) bool { s, _ := text(v); return !strings.EqualFold(s, "true") && s != "1" })),
		rule("google-vm-forwarding", "The machine forwards packets", medium, "CKV_GCP_36 AVD-GCP-0043 google-compute-no-ip-forwarding compute_instance_ip_forwarding_is_enabled", instances, is("can_ip_forward", "false", true)),
		rule("google-vm-project-keys", "SSH keys of the project open the machine", low, "CKV_GCP_32 AVD-GCP-0030 google-compute-no-project-wide-ssh-keys compute_instance_block_project_wide_ssh_keys_disabled", instances,
			accepts("metadata.block-project-ssh-keys", `"true"`, false, func(v cty.Value) bool { s, _ := text(v); return strings.EqualFold(s, "true") || s == "1" })),
		rule("google-vm-shielded", "The machine is not checked when it starts", low, "CKV_GCP_39", instances,
			all(is("shielded_instance_config[0].enable_vtpm", "true", false), is("shielded_instance_config[0].enable_integrity_monitoring", "true", false))),
		rule("google-subnet-flow-logs", "The subnet's traffic is not logged", low, "CKV_GCP_26 AVD-GCP-0029 google-compute-enable-vpc-flow-logs compute_subnet_flow_logs_enabled", "google_compute_subnetwork",
			unless("purpose", one("INTERNAL_HTTPS_LOAD_BALANCER", "REGIONAL_MANAGED_PROXY", "GLOBAL_MANAGED_PROXY"), accepts("log_config", `[{"aggregation_interval":"INTERVAL_5_SEC","flow_sampling":0.5,"metadata":"INCLUDE_ALL_METADATA"}]`, false, func(cty.Value) bool { return true }))),
		rule("google-subnet-private-access", "Machines without public addresses cannot reach Google's services", low, "CKV_GCP_74", "google_compute_subnetwork",
			unless("purpose", one("INTERNAL_HTTPS_LOAD_BALANCER", "REGIONAL_MANAGED_PROXY", "GLOBAL_MANAGED_PROXY"), is("private_ip_google_access", "true", false))),
		rule("google-dnssec", "The zone is not signed", medium, "CKV_GCP_16 AVD-GCP-0013 google-dns-enable-dnssec", "google_dns_managed_zone", unless("visibility", one("private"), is("dnssec_config[0].state", `"on"`, false))),
		rule("google-ssl-policy", "The policy allows TLS below 1.2", high, "AVD-GCP-0039 google-compute-use-secure-tls-policy", "google_compute_ssl_policy", is("min_tls_version", `"TLS_1_2"`, false)),
		rule("google-redis-auth", "The cache takes anybody", medium, "CKV_GCP_95", "google_redis_instance", is("auth_enabled", "true", false)),
		rule("google-redis-transit", "Connections to the cache are not encrypted", medium, "CKV_GCP_97", "google_redis_instance", accepts("transit_encryption_mode", `"SERVER_AUTHENTICATION"`, false, one("SERVER_AUTHENTICATION"))),
		rule("google-project-default-network", "The project gets a default network", medium, "CKV_GCP_27", "google_project", is("auto_create_network", "false", false)),
	}
}

// openFirewall breaks when a firewall rule lets the internet in on one of some ports.
func openFirewall(ask string, ports ...int64) judge {
	return func(s *subject) ([]flaw, bool) {
		direction, how := at(s.value, "direction")
		disabled, also := at(s.value, "disabled")
		switch {
		case how == opaque || also == opaque:
			return nil, false
		case same(direction, "EGRESS"), same(disabled, "true"):
			return nil, true
		}
		sources, how := at(s.value, "source_ranges")
		if how == opaque {
			return nil, false
		}
		if how == absent {
			return nil, true
		}
		if !openList(sources) {
			_, all := texts(sources)
			return nil, all
		}
		rules, ok := many(s.value, "allow")
		if !ok {
			return nil, false
		}
		known := true
		for _, r := range rules {
			protocol, how := at(r, "protocol")
			name, _ := text(protocol)
			name = strings.ToLower(name)
			if how == opaque {
				known = false
				continue
			}
			if name != "all" && name != "tcp" && name != "6" && name != "udp" && name != "17" {
				continue
			}
			list, how := at(r, "ports")
			if how == opaque {
				known = false
				continue
			}
			hit := name == "all" || how == absent
			if !hit {
				given, all := texts(list)
				known = known && all
				for _, port := range ports {
					in, sure := inRanges(given, port)
					hit, known = hit || in, known && sure
				}
			}
			if hit {
				f := flaw{field: "source_ranges", wanted: ask, detail: shown(sources)}
				if sensitive(ports) {
					f.more = map[string]string{closable: "true"}
				}
				return []flaw{f}, true
			}
		}
		return nil, known
	}
}
