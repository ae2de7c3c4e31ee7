package terraform

import (
	"fmt"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// azure are the rules about Azure.
func azure() []Rule {
	apps := "azurerm_app_service azurerm_linux_web_app azurerm_windows_web_app"
	functions := "azurerm_function_app azurerm_linux_function_app azurerm_windows_function_app azurerm_function_app_slot azurerm_linux_function_app_slot azurerm_windows_function_app_slot"
	nsg := "azurerm_network_security_group azurerm_network_security_rule"
	servers := "azurerm_mssql_server azurerm_mysql_server azurerm_postgresql_server azurerm_mariadb_server azurerm_mysql_flexible_server azurerm_postgresql_flexible_server"
	tls := first([]string{"site_config[0].min_tls_version", "site_config[0].minimum_tls_version"}, func(f string) judge { return isNot(f, `"1.2"`, "1.0", "1.1") })
	return []Rule{
		rule("azure-storage-https", "The storage account takes HTTP without encryption", high,
			"CKV_AZURE_3 AVD-AZU-0008 azure-storage-enforce-https storage_secure_transfer_required_is_enabled", "azurerm_storage_account",
			first([]string{"enable_https_traffic_only", "https_traffic_only_enabled"}, func(f string) judge { return is(f, "true", true) })),
		rule("azure-storage-tls", "The storage account allows TLS below 1.2", high,
			"CKV_AZURE_44 AVD-AZU-0011 azure-storage-use-secure-tls-policy storage_ensure_minimum_tls_version_12", "azurerm_storage_account", isNot("min_tls_version", `"TLS1_2"`, "TLS1_0", "TLS1_1")),
		rule("azure-storage-public-blobs", "Blobs of the storage account may be made public", high,
			"CKV_AZURE_190 storage_blob_public_access_level_is_disabled", "azurerm_storage_account",
			first([]string{"allow_blob_public_access", "allow_nested_items_to_be_public"}, func(f string) judge { return is(f, "false", f == "allow_blob_public_access") })),
		rule("azure-storage-public-network", "The storage account can be reached from the internet", medium,
			"CKV_AZURE_59", "azurerm_storage_account", is("public_network_access_enabled", "false", false)),
		rule("azure-storage-firewall", "The storage account lets every network in", medium,
			"CKV_AZURE_35 AVD-AZU-0012 azure-storage-default-action-deny storage_default_network_access_rule_is_denied", "azurerm_storage_account azurerm_storage_account_network_rules",
			byKind(map[string]judge{
				"azurerm_storage_account_network_rules": is("default_action", `"Deny"`, false),
				"azurerm_storage_account": func(s *subject) ([]flaw, bool) {
					if _, how := at(s.value, "network_rules"); how != absent {
						return is("network_rules[0].default_action", `"Deny"`, false)(s)
					}
					return beside("azurerm_storage_account_network_rules", "storage_account_id", "", is("public_network_access_enabled", "false", false), `{"default_action":"Deny"}`, anything)(s)
				}})),
		rule("azure-storage-container-public", "Anybody may read the container", high,
			"CKV_AZURE_34 AVD-AZU-0007 azure-storage-no-public-access", "azurerm_storage_container", isNot("container_access_type", `"private"`, "blob", "container")),
		rule("azure-keyvault-purge", "The key vault can be purged", medium,
			"CKV_AZURE_110 AVD-AZU-0016 azure-keyvault-no-purge keyvault_recoverable", "azurerm_key_vault", is("purge_protection_enabled", "true", false)),
		rule("azure-keyvault-firewall", "The key vault lets every network in", medium,
			"CKV_AZURE_109 AVD-AZU-0013 azure-keyvault-specify-network-acl", "azurerm_key_vault", is("network_acls[0].default_action", `"Deny"`, false)),
		rule("azure-keyvault-key-expiry", "The key does not expire", low,
			"CKV_AZURE_40 AVD-AZU-0014 azure-keyvault-ensure-key-expiry", "azurerm_key_vault_key", states("expiration_date", "?the day on which the key expires")),
		rule("azure-keyvault-secret-expiry", "The secret does not expire", low,
			"CKV_AZURE_41 AVD-AZU-0017 azure-keyvault-ensure-secret-expiry", "azurerm_key_vault_secret", states("expiration_date", "?the day on which the secret expires")),

		rule("azure-aks-rbac", "The cluster has no roles", high,
			"CKV_AZURE_5 AVD-AZU-0042 azure-container-use-rbac-permissions aks_cluster_rbac_enabled", "azurerm_kubernetes_cluster",
			first([]string{"role_based_access_control[0].enabled", "role_based_access_control_enabled"}, func(f string) judge { return is(f, "true", true) })),
		rule("azure-aks-private", "The cluster's API can be reached from the internet", medium,
			"CKV_AZURE_115", "azurerm_kubernetes_cluster", is("private_cluster_enabled", "true", false)),
		rule("azure-aks-addresses", "The cluster's API can be reached from every address", high,
			"CKV_AZURE_6 AVD-AZU-0041 azure-container-limit-authorized-ips", "azurerm_kubernetes_cluster",
			unless("private_cluster_enabled", one("true"), first([]string{"api_server_authorized_ip_ranges", "api_server_access_profile[0].authorized_ip_ranges"}, func(f string) judge {
				return states(f, "?the addresses that administer the cluster")
			}))),
		rule("azure-aks-network-policy", "The cluster has no network policies", medium,
			"CKV_AZURE_7 AVD-AZU-0043 azure-container-configured-network-policy aks_network_policy_enabled", "azurerm_kubernetes_cluster", states("network_profile[0].network_policy", "?which engine: azure, calico or cilium; the cluster is made anew")),
		rule("azure-aks-local-accounts", "The cluster keeps local administrators", medium,
			"CKV_AZURE_141 aks_cluster_local_accounts_disabled", "azurerm_kubernetes_cluster", is("local_account_disabled", "true", false)),

		rule("azure-nsg-open-ssh", "SSH is open to the internet", critical,
			"CKV_AZURE_10 AVD-AZU-0050 azure-network-ssh-blocked-from-internet network_ssh_internet_access_restricted", nsg, openNSG(22)),
		rule("azure-nsg-open-rdp", "RDP is open to the internet", critical,
			"CKV_AZURE_9 AVD-AZU-0048 azure-network-disable-rdp-from-internet network_rdp_internet_access_restricted", nsg, openNSG(3389)),
		rule("azure-nsg-open-http", "HTTP without encryption is open to the internet", low, "CKV_AZURE_160", nsg, openNSG(80)),
		rule("azure-nsg-open-database", "A port of databases is open to the internet", high, "", nsg, openNSG(databasePorts...)),
		rule("azure-nsg-open-any", "A port is open to the internet", medium, "AVD-AZU-0047 azure-network-no-public-ingress", nsg, openNSG(anyPort)),

		rule("azure-db-public-network", "The database server can be reached from the internet", high,
			"CKV_AZURE_113 CKV_AZURE_53 CKV_AZURE_68 CKV_AZURE_48 AVD-AZU-0022 azure-database-no-public-access", servers, unless("delegated_subnet_id", isText, is("public_network_access_enabled", "false", false))),
		rule("azure-db-ssl", "The database server takes connections without encryption", high,
			"CKV_AZURE_28 CKV_AZURE_29 CKV_AZURE_47 AVD-AZU-0020 azure-database-enable-ssl-enforcement", "azurerm_mysql_server azurerm_postgresql_server azurerm_mariadb_server", is("ssl_enforcement_enabled", "true", false)),
		rule("azure-mssql-tls", "The database server allows TLS below 1.2", high,
			"CKV_AZURE_52", "azurerm_mssql_server", isNot("minimum_tls_version", `"1.2"`, "1.0", "1.1", "Disabled")),
		rule("azure-db-open-firewall", "The database lets every address in", critical,
			"CKV_AZURE_11 AVD-AZU-0029 azure-database-no-public-firewall-access sqlserver_unrestricted_inbound_access",
			"azurerm_mariadb_firewall_rule azurerm_sql_firewall_rule azurerm_postgresql_firewall_rule azurerm_mysql_firewall_rule azurerm_mssql_firewall_rule azurerm_postgresql_flexible_server_firewall_rule azurerm_mysql_flexible_server_firewall_rule",
			openRange),

		rule("azure-app-https", "The app serves HTTP without encryption", high,
			"CKV_AZURE_14 AVD-AZU-0004 azure-appservice-enforce-https app_ensure_http_is_redirected_to_https", apps, is("https_only", "true", false)),
		rule("azure-app-tls", "The app allows TLS below 1.2", high,
			"CKV_AZURE_15 AVD-AZU-0006 azure-appservice-use-secure-tls-policy app_minimum_tls_version_12", apps, tls),
		rule("azure-app-client-certificates", "The app takes clients without certificates", low,
			"CKV_AZURE_17 AVD-AZU-0001 azure-appservice-require-client-cert app_client_certificates_on", apps,
			first([]string{"client_cert_enabled", "client_certificate_enabled"}, func(f string) judge { return is(f, "true", false) })),
		rule("azure-app-http2", "The app does not speak HTTP/2", low,
			"CKV_AZURE_18 AVD-AZU-0005 azure-appservice-enable-http2 app_ensure_using_http20", apps, is("site_config[0].http2_enabled", "true", false)),
		rule("azure-app-ftp", "The app takes FTP without encryption", medium,
			"CKV_AZURE_78 app_ftp_deployment_disabled", apps, func(s *subject) ([]flaw, bool) {
				return accepts("site_config[0].ftps_state", `"FtpsOnly"`, s.address.Type != "azurerm_app_service", one("FtpsOnly", "Disabled"))(s)
			}),
		rule("azure-app-debugging", "The app can be debugged from outside", medium, "CKV_AZURE_72", apps+" "+functions, is("site_config[0].remote_debugging_enabled", "false", true)),
		rule("azure-function-https", "The function serves HTTP without encryption", high, "CKV_AZURE_70", functions, is("https_only", "true", false)),
		rule("azure-function-tls", "The function allows TLS below 1.2", high, "CKV_AZURE_145", functions, tls),

		rule("azure-vm-passwords", "The machine takes passwords", high,
			"CKV_AZURE_1 AVD-AZU-0039 azure-compute-disable-password-authentication", "azurerm_linux_virtual_machine", is("disable_password_authentication", "true", true)),
		rule("azure-vmss-passwords", "The machines take passwords", high, "CKV_AZURE_49", "azurerm_linux_virtual_machine_scale_set", is("disable_password_authentication", "true", true)),
		rule("azure-acr-admin", "The registry has an administrator's password", medium, "CKV_AZURE_137", "azurerm_container_registry", is("admin_enabled", "false", true)),
		rule("azure-acr-public", "The registry can be reached from the internet", low, "CKV_AZURE_139", "azurerm_container_registry", is("public_network_access_enabled", "false", false)),
		rule("azure-acr-anonymous", "Anybody may pull from the registry", medium, "CKV_AZURE_138", "azurerm_container_registry", is("anonymous_pull_enabled", "false", true)),
		rule("azure-redis-ssl", "The cache takes connections without encryption", high, "CKV_AZURE_91", "azurerm_redis_cache",
			first([]string{"enable_non_ssl_port", "non_ssl_port_enabled"}, func(f string) judge { return is(f, "false", true) })),
		rule("azure-redis-tls", "The cache allows TLS below 1.2", high, "CKV_AZURE_148", "azurerm_redis_cache", is("minimum_tls_version", `"1.2"`, false)),
		rule("azure-redis-public", "The cache can be reached from the internet", medium, "CKV_AZURE_89", "azurerm_redis_cache", is("public_network_access_enabled", "false", false)),
		rule("azure-cosmos-public", "The database can be reached from the internet", medium, "CKV_AZURE_101", "azurerm_cosmosdb_account", is("public_network_access_enabled", "false", false)),
		rule("azure-nic-forwarding", "The interface forwards packets", medium, "CKV_AZURE_118", "azurerm_network_interface",
			first([]string{"enable_ip_forwarding", "ip_forwarding_enabled"}, func(f string) judge { return is(f, "false", true) })),
	}
}

var internet = []string{"*", "any", "internet", "0.0.0.0", "0.0.0.0/0", "::/0", "/0"}

// openNSG breaks when a network security group lets the internet in on one of some ports.
func openNSG(ports ...int64) judge {
	return func(s *subject) (flaws []flaw, known bool) {
		rules, prefix := []cty.Value{s.value}, ""
		known = true
		if s.address.Type == "azurerm_network_security_group" {
			var ok bool
			if rules, ok = many(s.value, "security_rule"); !ok {
				return nil, false
			}
			prefix = "security_rule[%d]."
		}
		for i, r := range rules {
			if !r.IsKnown() {
				known = false
				continue
			}
			at0 := prefix
			if prefix != "" {
				at0 = fmt.Sprintf(prefix, i)
			}
			hit, field, sure := openNSGRule(r, ports)
			known = known && sure
			if hit {
				f := flaw{field: at0 + field, wanted: "?the addresses that may connect"}
				if sensitive(ports) {
					f.more = map[string]string{closable: "true"}
				}
				flaws = append(flaws, f)
			}
		}
		return flaws, known
	}
}

func openNSGRule(r cty.Value, ports []int64) (hit bool, field string, known bool) {
	lower := func(name string) (string, bool) {
		v, how := at(r, name)
		t, _ := text(v)
		return strings.ToLower(t), how != opaque
	}
	access, ok := lower("access")
	direction, also := lower("direction")
	protocol, third := lower("protocol")
	if ok && access != "allow" || also && direction != "inbound" || third && protocol == "icmp" {
		return false, "", true
	}
	if !ok || !also || !third {
		return false, "", false
	}
	known = true
	for _, name := range []string{"source_address_prefix", "source_address_prefixes"} {
		v, how := at(r, name)
		if how == opaque {
			known = false
			continue
		}
		if how == absent {
			continue
		}
		list, all := texts(v)
		known = known && all
		if slices.ContainsFunc(list, func(a string) bool { return slices.Contains(internet, strings.ToLower(a)) }) {
			field = name
		}
	}
	if field == "" {
		return false, "", known
	}
	known = true
	for _, name := range []string{"destination_port_range", "destination_port_ranges"} {
		v, how := at(r, name)
		if how == opaque {
			known = false
			continue
		}
		if how == absent {
			continue
		}
		list, all := texts(v)
		known = known && all
		for _, port := range ports {
			in, sure := inRanges(list, port)
			if in {
				return true, field, true
			}
			known = known && sure
		}
	}
	return false, field, known
}

// openRange breaks when a firewall rule spans all addresses.
func openRange(s *subject) ([]flaw, bool) {
	start, how := at(s.value, "start_ip_address")
	end, also := at(s.value, "end_ip_address")
	if how == opaque || also == opaque {
		return nil, false
	}
	if same(start, "0.0.0.0") && same(end, "255.255.255.255") || same(start, "0.0.0.0/0") {
		return []flaw{{field: "end_ip_address", wanted: "?the addresses that may connect", detail: shown(end)}}, true
	}
	return nil, true
}
